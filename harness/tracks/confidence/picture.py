"""What a page shows of a run of a confidence score: risk by coverage, thresholds, calibration, severities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from harness.metrics.calibration import reliability
from harness.metrics.facts import metric_facts
from harness.metrics.proper_scores import are_probabilities
from harness.metrics.registry import METRICS
from harness.metrics.risk_coverage import risk_coverage_curve
from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.confidence.model_outputs import NO_CLASS
from harness.tracks.confidence.scoring import FAILURE_RATE, metric_value
from harness.tracks.views import (
    Chart,
    Columns,
    Key,
    OperatingPoints,
    Role,
    Shown,
    Thresholds,
    View,
    colour,
    columns_of,
    key,
    line_style,
    rounded,
)

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.confidence.scoring import JudgedConfidence
    from harness.tracks.confidence.track import ConfidenceTrack

_GRID = 80  # steps of coverage of a curve
_MOST_LINES = 60  # of single networks, beyond which only their mean is drawn
_MOST_POINTS, _MOST_LISTED, _MOST_UNITS = 300, 100, 40
_LARGEST_TIE = 0.5  # share of samples with one and the same confidence
_FEW_VALUES, _MANY_SAMPLES = 20, 100
_SHOWN = ("failure_auroc",)  # over severities, beside the failure rate and the primary metric
_ROLES: tuple[Role, ...] = ("simplest", "median", "best", "this run")  # the last lies on top


def confidence_views(track: ConfidenceTrack, shown: Shown) -> Iterator[View]:
    """Views without anything to show are left out."""
    judged = {unit: track.judge(unit, outputs) for unit, outputs in shown.answers.items()}
    judged = {unit: each for unit, each in judged.items() if len(each.residual)}
    if not judged:
        return
    yield from _risk_coverage(track, judged, shown)
    yield _thresholds(track, judged)
    yield from _reliability(judged)
    yield from _severities(track, shown)


def tied_answers(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Iterator[str]:
    """What to know of answers by unit: that the method ties samples which what it was given tells apart.

    Samples of equal confidence are not ranked among each other: metrics average over their orders.
    """
    import numpy as np

    found = []
    for unit, outputs in answers.items():
        confidence = outputs["confidence"]
        _, groups, counts = np.unique(confidence, return_inverse=True, return_counts=True)
        few = len(counts) < _FEW_VALUES and len(confidence) >= _MANY_SAMPLES
        if len(confidence) < 2 or not (few or counts.max() > _LARGEST_TIE * len(confidence)):
            continue
        given = [_row_groups(array) for _, array in track.given(unit)]
        largest = np.flatnonzero(groups == counts.argmax())
        # Samples of which any array says the same may be tied: a score of the logits alone cannot do better.
        own = min((len(largest) - np.bincount(rows[largest]).max() for rows in given), default=len(largest))
        few = few and min((rows.max() + 1 for rows in given), default=len(confidence)) > len(counts)
        if few or own > _LARGEST_TIE * len(confidence):
            share = 100 * counts.max() / len(confidence)
            what = f"{len(counts):,} different values for {len(confidence):,} samples, the most frequent for"
            found.append((share, f"{unit.label}: {what} {share:.0f} %"))
    if found:
        yield (
            f"in {len(found)} of {len(answers)} units the confidence is tied almost everywhere ({max(found)[1]}) where "
            "the model's outputs are not; samples with equal confidence are not told apart. Return finer values, if "
            "that is not meant."
        )


def _row_groups(rows: np.ndarray) -> np.ndarray:
    """(n, ...) -> (n,): a number for each distinct row, from 0. Column by column, because a sort of whole rows would
    hold all of them several times."""
    import numpy as np

    groups, count = np.zeros(len(rows), dtype=np.int64), 1
    shared = np.arange(len(rows))  # those whose group has other members
    for place in np.ndindex(rows.shape[1:]):
        column = np.ascontiguousarray(rows[(shared, *place)])
        _, codes = np.unique(column.view(f"i{column.itemsize}"), return_inverse=True)
        pairs = groups[shared] * (len(column) + 1) + codes
        _, numbers, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        groups[shared], count = count + numbers, count + len(sizes)
        shared = shared[sizes[numbers] > 1]
        if not len(shared):
            break
    return np.unique(groups, return_inverse=True)[1]


def _risk_coverage(track: ConfidenceTrack, judged: Mapping[Unit, JudgedConfidence], shown: Shown) -> Iterator[Chart]:
    """Generalized and selective risk: a panel per study, the mean over networks, and each network of the run."""
    networks, keys = len(judged) <= _MOST_LINES, [key("this run", track.method.name)]
    rows = list(_curve_rows("this run", track.method.name, judged, networks=networks))
    for rival in shown.rivals:
        theirs, answers = rival.open()
        wanted = {unit.study for unit in judged}
        found = ((unit, each) for unit, each in answers.items() if unit.study in wanted)
        own = {unit: cast("ConfidenceTrack", theirs).judge(unit, each) for unit, each in found}
        if own:
            rows += _curve_rows(rival.role, rival.name, own)
            keys.append(key(rival.role, rival.name))
    columns = columns_of(rows)
    for name, title, text in (
        (
            "generalized",
            "Generalized risk by coverage",
            "How many undetected failures there are, as a share of all samples, when only the most confident share is "
            "accepted. AUGRC is the area under the curve; lower is better.",
        ),
        (
            "selective",
            "Selective risk by coverage",
            "The share of failures among the accepted samples. AURC is the area under the curve; lower is better. Near "
            "coverage 0 it rests on few samples.",
        ),
    ):
        others = [each for each in columns if each not in ("generalized", "selective")]
        own_columns = {**{each: columns[each] for each in others}, "risk": columns[name]}
        yield Chart(
            title,
            text + (" Lines are means over networks, thin lines the run's single networks." if networks else ""),
            own_columns,
            _curve_marks(networks),
            {"x": {"label": "coverage", "domain": [0, 1]}, "y": {"label": f"{name} risk", "zero": True}},
            panel="study",
            keys=tuple(keys),
        )


def _curve_marks(networks: bool) -> tuple[Mapping[str, Any], ...]:
    line = {"mark": "line", "x": "coverage", "y": "risk"}
    thin = {"stroke": colour("this run"), "strokeWidth": 0.7, "strokeOpacity": 0.6, "z": "network"}
    marks = [{**line, **line_style(role), "where": {"role": role, "network": "mean"}} for role in _ROLES]
    tip = {
        "mark": "tip",
        "pointer": "x",
        "x": "coverage",
        "y": "risk",
        "where": {"role": "this run", "network": "mean"},
    }
    single = {**line, **thin, "where": {"role": "this run"}}
    return (*([single] if networks else []), *marks, tip)


def _curve_rows(
    role: Role, name: str, judged: Mapping[Unit, JudgedConfidence], networks: bool = False
) -> Iterator[dict[str, Any]]:
    """Curves at `_GRID` coverages. Generalized risk is linear between operating points, and selective risk is
    generalized risk by coverage, so that both are exact there."""
    import numpy as np

    grid = np.linspace(0.0, 1.0, _GRID + 1)
    by_study: dict[str, dict[str, np.ndarray]] = {}
    for unit, each in judged.items():
        if len(each.residual):
            curve = risk_coverage_curve(each.confidence, each.residual)
            risk = np.interp(grid, curve.coverage[::-1], curve.generalized_risk[::-1])
            by_study.setdefault(unit.study, {})[unit.model] = risk
    for study, curves in by_study.items():
        drawn = {"mean": np.mean(list(curves.values()), axis=0), **(curves if networks and len(curves) > 1 else {})}
        for network, risk in drawn.items():
            selective = np.divide(risk, grid, out=np.full(len(grid), np.nan), where=grid > 0)
            numbers = zip(rounded(grid, 4), rounded(risk), rounded(selective), strict=True)
            for coverage, generalized, of_accepted in numbers:
                where = {"role": role, "method": name, "study": study, "network": network}
                yield {**where, "coverage": coverage, "generalized": generalized, "selective": of_accepted}


def _thresholds(track: ConfidenceTrack, judged: Mapping[Unit, JudgedConfidence]) -> Thresholds:
    listed = dict(list(judged.items())[:_MOST_UNITS])
    more = f" The first {len(listed)} of {len(judged)} units are here." if len(listed) < len(judged) else ""
    return Thresholds(
        "What a threshold does",
        "Samples whose confidence is at least the threshold are accepted. Move it to see the coverage, both risks, and "
        f"the failures that pass undetected, the most confident first.{more}",
        tuple(_points(track, unit, each) for unit, each in listed.items()),
    )


def _points(track: ConfidenceTrack, unit: Unit, judged: JudgedConfidence) -> OperatingPoints:
    import numpy as np

    curve, n = risk_coverage_curve(judged.confidence, judged.residual), len(judged.residual)
    thin = np.unique(np.linspace(0, len(curve.thresholds) - 1, _MOST_POINTS).astype(int))
    return OperatingPoints(
        unit.label,
        n,
        round(float(judged.residual.sum())),
        [float(each) for each in curve.thresholds[thin]],
        np.rint(curve.coverage[:-1][thin] * n).astype(int).tolist(),
        np.rint(curve.generalized_risk[:-1][thin] * n).astype(int).tolist(),
        _failures(track, unit, judged),
    )


def _failures(track: ConfidenceTrack, unit: Unit, judged: JudgedConfidence) -> Columns:
    """The most confident failures: set, number of the sample in it, true class, predicted class, confidence."""
    import numpy as np

    model, study = track.model(unit.model), track.study(unit.study)
    rows = np.flatnonzero(judged.keep)  # of the study's samples as the unit asks about them
    asked = track.rows(unit)[rows]
    sizes = [len(track.outcomes.labels(model, name)) for name in study.sets]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    predicted = np.concatenate([track.outcomes.predicted(model, name) for name in study.sets])
    failed = np.flatnonzero(judged.residual > 0)
    found = failed[np.argsort(-judged.confidence[failed], kind="stable")][:_MOST_LISTED]
    sets = np.searchsorted(starts, asked[found], side="right") - 1
    labels = judged.labels[found].tolist()
    unknown = [label == NO_CLASS or study.sets[each] == study.unknown for label, each in zip(labels, sets, strict=True)]
    return {
        "set": [study.sets[each] for each in sets],
        "sample": (asked[found] - starts[sets]).tolist(),
        "class": ["not a class" if new else label for label, new in zip(labels, unknown, strict=True)],
        "predicted": predicted[asked[found]].tolist(),
        "confidence": judged.confidence[found].tolist(),
    }


def _reliability(judged: Mapping[Unit, JudgedConfidence]) -> Iterator[Chart]:
    """Of scores that are probabilities: a panel per study, the samples of all networks together."""
    import numpy as np

    by_study: dict[str, list[JudgedConfidence]] = {}
    for unit, each in judged.items():
        by_study.setdefault(unit.study, []).append(each)
    rows = []
    for study, parts in by_study.items():
        confidence, residual = (
            np.concatenate([getattr(each, of) for each in parts]) for of in ("confidence", "residual")
        )
        if are_probabilities(confidence):
            stated, accuracy, counts = reliability(confidence, residual)
            for numbers in zip(rounded(stated, 5), rounded(accuracy, 5), counts.tolist(), strict=True):
                rows.append({"study": study, **dict(zip(("confidence", "accuracy", "samples"), numbers, strict=True))})
    if rows:
        own = colour("this run")
        yield Chart(
            "Reliability",
            "Share of correct predictions among samples of about the same confidence, in the 20 bins of the calibration "
            "error, all networks together. On the dashed line confidence equals accuracy; below it, the score is too confident, above it too cautious.",
            columns_of(rows),
            (
                {"mark": "line", "values": [[0, 0], [1, 1]], "stroke": "var(--muted)", "strokeDasharray": "4 4"},
                {"mark": "line", "x": "confidence", "y": "accuracy", "stroke": own, "strokeWidth": 1.5},
                {"mark": "dot", "x": "confidence", "y": "accuracy", "r": "samples", "fill": own, "tip": True},
            ),
            {"x": {"domain": [0, 1]}, "y": {"domain": [0, 1]}, "r": {"range": [1, 7]}, "aspect": 1},
            panel="study",
            keys=(Key("bins; larger dots hold more samples", own),),
        )


def _severities(track: ConfidenceTrack, shown: Shown) -> Iterator[Chart]:
    """The metrics that tables begin with over the strength of a shift, with their intervals and beside the board."""
    sets = getattr(track.benchmark.source, "sets", ())  # of images; tables have rows of a name, without a severity
    severity = {each.id: getattr(each, "severity", None) for each in sets if hasattr(each, "id")}
    studies = {each.id: int(of) for each in track.benchmark.studies if (of := severity.get(each.samples))}
    facts, rows = metric_facts(), []
    metrics = list(dict.fromkeys((FAILURE_RATE, track.benchmark.primary, *_SHOWN)))
    for row in shown.summary:
        if row.study in studies and row.metric in metrics and row.value is not None:
            of = facts[row.metric]
            low, high = ((None if each is None else each * of.scale) for each in (row.low, row.high))
            where = {"metric": of.heading, "group": track.study(row.study).group, "severity": studies[row.study]}
            rows.append({**where, "role": "this run", "value": row.value * of.scale, "low": low, "high": high})
    if len({row["severity"] for row in rows}) < 2:
        return
    rows += _rival_severities(studies, metrics, shown)
    marks: list[Mapping[str, Any]] = [
        {
            "mark": "areaY",
            "x": "severity",
            "y1": "low",
            "y2": "high",
            "fill": colour("this run"),
            "fillOpacity": 0.18,
            "where": {"role": "this run"},
            "z": "group",
        }
    ]
    marks += [
        {"mark": "line", "x": "severity", "y": "value", "z": "group", **line_style(role), "where": {"role": role}}
        for role in _ROLES
    ]
    marks.append(
        {
            "mark": "dot",
            "x": "severity",
            "y": "value",
            "fill": colour("this run"),
            "where": {"role": "this run"},
            "tip": True,
        }
    )
    yield Chart(
        "Scores by severity",
        "How the scores change as the shift becomes stronger. The band is the 95 % interval. Areas are × 1000, the rest in %.",
        columns_of(rows),
        tuple(marks),
        {"x": {"ticks": sorted(set(studies.values())), "tickFormat": "d"}, "y": {"label": None}},
        panel="metric",
        keys=(key("this run", track.method.name), *(key(each.role, each.name) for each in shown.rivals)),
    )


def _rival_severities(studies: Mapping[str, int], metrics: Sequence[str], shown: Shown) -> Iterator[dict[str, Any]]:
    """Values of the board's rows, mean over networks, without intervals."""
    import numpy as np

    for rival in shown.rivals:
        theirs, answers = rival.open()
        track = cast("ConfidenceTrack", theirs)
        for study, severity in studies.items():
            judged = [track.judge(unit, each) for unit, each in answers.items() if unit.study == study]
            for name in metrics if judged else ():
                of = metric_facts()[name]
                values = [
                    float(each.residual.mean()) if name == FAILURE_RATE else metric_value(METRICS[name], each)
                    for each in judged
                ]
                (value,) = rounded([np.mean(values) * of.scale])
                where = {"metric": of.heading, "group": track.study(study).group, "severity": severity}
                yield {**where, "role": rival.role, "value": value, "low": None, "high": None}
