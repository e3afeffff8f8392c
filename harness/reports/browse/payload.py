"""What the page's script reads: points, studies and groups, arrays as base64 of their bytes."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.metrics.risk_coverage import risk_coverage_curve
from harness.reports.browse.chosen import Chosen
from harness.reports.browse.embedding import Places
from harness.reports.browse.groups import failure_groups, prototypes
from harness.reports.browse.samples import FAILURE, LEFT_OUT, Browsed, JudgedStudy
from harness.tracks.confidence.model_outputs import NO_CLASS

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.confidence.scoring import JudgedConfidence

_MOST_STEPS = 300
_UNTOLD = -2
"""Predicted class where none is stored."""


class Points:
    """The chosen samples as arrays (n,), and what the page's first score makes of them."""

    def __init__(self, browsed: Browsed, chosen: Chosen) -> None:
        self.browsed, self.chosen = browsed, chosen
        self.count = len(chosen.sets)

    @cached_property
    def labels(self) -> np.ndarray:
        return self._gathered([each.labels for each in self.browsed.sets])

    @cached_property
    def numbers(self) -> np.ndarray:
        """By which each sample is known on the page, in its set or in the user's table."""
        import numpy as np

        naming = self.browsed.naming
        return self._gathered([naming.numbers(each.name, np.arange(len(each.labels))) for each in self.browsed.sets])

    def predicted(self, classifier: str) -> np.ndarray:
        import numpy as np

        absent = [np.full(len(each.labels), _UNTOLD) for each in self.browsed.sets]
        found = [each.predicted.get(classifier, none) for each, none in zip(self.browsed.sets, absent, strict=True)]
        return self._gathered(found)

    @cached_property
    def outcome(self) -> np.ndarray:
        """Of each point in the first study that counts it, by the first score's classifier; left out where none does."""
        import numpy as np

        found = np.full(self.count, LEFT_OUT, dtype=np.uint8)
        for study in reversed(self.browsed.studies):
            at, codes = self.chosen.points_of(study.sets, study.samples), study.outcome.get(self._first.classifier)
            if codes is not None:
                counted = (at >= 0) & (codes != LEFT_OUT)
                found[at[counted]] = codes[counted]
        return found

    def confidence(self, score: str) -> np.ndarray:
        """In the first study that has the point; NaN where none does."""
        import numpy as np

        found = np.full(self.count, np.nan)
        for study in reversed(self.browsed.studies):
            if score in study.confidence:
                at = self.chosen.points_of(study.sets, study.samples)
                found[at[at >= 0]] = study.confidence[score][at >= 0]
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(name for study in self.browsed.studies for each in study.metrics.values() for name in each)
        )

    @property
    def _first(self) -> Any:
        return self.browsed.scores[0]

    def _gathered(self, by_set: Sequence[np.ndarray]) -> np.ndarray:
        import numpy as np

        found = np.zeros(self.count, dtype=np.int64)
        for number, values in enumerate(by_set):
            mine = self.chosen.sets == number
            found[mine] = values[self.chosen.samples[mine]]
        return found


def content(
    points: Points, components: np.ndarray | None, ways: Sequence[Places], cells: np.ndarray | None
) -> dict[str, Any]:
    """All of a network; `components`, by which groups and prototypes are found, and `cells`, places of images, may be
    missing."""
    browsed, chosen = points.browsed, points.chosen
    ids = _ids(points)
    return {
        "sets": [
            {"name": browsed.naming.title(each.name), "role": each.role, "samples": len(each.labels)}
            for each in browsed.sets
        ],
        "set": packed(chosen.sets),
        "sample": packed(points.numbers),
        **({} if chosen.complete else {"weight": packed(chosen.weight)}),
        "label": packed(points.labels),
        "predicted": {each: packed(points.predicted(each)) for each in browsed.classifiers},
        **({"ids": ids} if ids else {}),
        "layouts": [{"title": each.title, "flat": packed(each.flat), "solid": packed(each.solid)} for each in ways],
        "scores": [{"name": each.name, "classifier": each.classifier} for each in browsed.scores],
        "studies": [_study(browsed, chosen, study) for study in browsed.studies],
        "components": components is not None,
        "groups": [] if components is None else list(_groups(points, components)),
        "prototypes": [] if components is None else list(_prototypes(points, components)),
        "cell": None if cells is None else packed(cells),
    }


def packed(array: np.ndarray) -> dict[str, str]:
    """Type -> base64 of the little-endian bytes, all rows after each other; whole numbers as int32."""
    import numpy as np

    kind = (
        "i4" if array.dtype.kind in "iu" and array.dtype.itemsize > 1 else f"{array.dtype.kind}{array.dtype.itemsize}"
    )
    kind = {"f2": "f4", "i1": "i4"}.get(kind, kind)
    found = np.ascontiguousarray(array, dtype=f"<{kind}")
    return {kind: base64.b64encode(found.tobytes()).decode("ascii")}


def by_confidence(points: Points) -> Places:
    """Where only results are known: from the least to the most confident, and class above class."""
    import numpy as np

    confidence = np.nan_to_num(points.confidence(points.browsed.scores[0].name), nan=-np.inf)
    order = np.unique(confidence, return_inverse=True)[1] / max(1, len(np.unique(confidence)) - 1)
    classes = np.unique(points.labels, return_inverse=True)[1]
    spread = np.random.default_rng(0).random((points.count, 2)) * 0.8 + 0.1
    height = (classes + spread[:, 0]) / (classes.max() + 1 if points.count else 1)
    place = np.stack([order, height, spread[:, 1]], axis=1) * 1.9 - 0.95
    return Places("confidence by class", place[:, :2].astype(np.float32), place.astype(np.float32))


def _study(browsed: Browsed, chosen: Chosen, study: JudgedStudy) -> dict[str, Any]:
    at = chosen.points_of(study.sets, study.samples)
    shown = at >= 0
    return {
        "id": browsed.naming.title(study.id),
        "group": study.group,
        "kind": study.kind,
        "at": packed(at[shown]),
        "outcome": {name: packed(codes[shown]) for name, codes in study.outcome.items()},
        "confidence": {name: packed(values[shown]) for name, values in study.confidence.items()},
        "counts": {name: _counts(browsed, study, name) for name in study.outcome},
        "curves": {name: _curve(judged) for name, judged in study.judged.items() if len(judged.residual)},
        "metrics": {
            name: {each: value if math.isfinite(value) else None for each, value in values.items()}
            for name, values in study.metrics.items()
        },
    }


def _counts(browsed: Browsed, study: JudgedStudy, classifier: str) -> dict[str, Any]:
    """How many samples of the study, shown or not, have the same set, label, prediction and outcome."""
    import numpy as np

    facts = np.zeros((3, len(study.samples)), dtype=np.int64)
    for number, each in enumerate(browsed.sets):
        mine = study.sets == number
        if mine.any():
            values = each.predicted.get(classifier, np.full(len(each.labels), _UNTOLD))
            samples = study.samples[mine]
            facts[:, mine] = np.full(len(samples), number), each.labels[samples], values[samples]
    rows = np.column_stack([*facts, study.outcome[classifier]])
    found, counts = np.unique(rows, axis=0, return_counts=True)
    names = ("set", "label", "predicted", "outcome")
    return {**{name: packed(found[:, at]) for at, name in enumerate(names)}, "samples": packed(counts)}


def _curve(judged: JudgedConfidence) -> dict[str, Any]:
    """Operating points of all samples of the study: counts at thresholds, from full coverage down."""
    import numpy as np

    curve, count = risk_coverage_curve(judged.confidence, judged.residual), len(judged.residual)
    thin = np.unique(np.linspace(0, len(curve.thresholds) - 1, _MOST_STEPS).astype(int))
    return {
        "samples": count,
        "failures": round(float(judged.residual.sum())),
        "threshold": packed(np.asarray(curve.thresholds[thin], dtype=np.float64)),
        "accepted": packed(np.rint(curve.coverage[:-1][thin] * count).astype(int)),
        "undetected": packed(np.rint(curve.generalized_risk[:-1][thin] * count).astype(int)),
    }


def _groups(points: Points, components: np.ndarray) -> Iterator[dict[str, Any]]:
    import numpy as np

    rows = np.flatnonzero(points.outcome != LEFT_OUT)
    if not len(rows):
        return
    first, naming = points.browsed.scores[0].classifier, points.browsed.naming
    classes, predicted = _class_texts(points.labels[rows]), _class_texts(points.predicted(first)[rows])
    facts = {
        "class and prediction": [f"{a} → {b}" for a, b in zip(classes, predicted, strict=True)],
        "class": classes,
        "predicted": predicted,
        "set": [naming.title(points.browsed.sets[at].name) for at in points.chosen.sets[rows]],
    }
    weight = points.chosen.weight[rows]
    found = failure_groups(components[rows], points.outcome[rows] == FAILURE, weight, facts)
    confidence = {score.name: points.confidence(score.name)[rows] for score in points.browsed.scores}
    for group in found:
        mean = {name: _mean(values[group.members], weight[group.members]) for name, values in confidence.items()}
        yield {
            "members": packed(rows[group.members]),
            "samples": round(group.samples),
            "failures": round(group.failures),
            "rate": group.rate,
            "shared": list(group.shared),
            "confidence": mean,
        }


def _mean(values: np.ndarray, weight: np.ndarray) -> float | None:
    import numpy as np

    there = np.isfinite(values)
    return float(np.average(values[there], weights=weight[there])) if there.any() else None


def _prototypes(points: Points, components: np.ndarray) -> Iterator[dict[str, Any]]:
    found = prototypes(components, points.chosen.sets, points.labels)
    for (which, label), members in found.items():
        yield {"set": which, "label": label, "members": members}


def _class_texts(labels: np.ndarray) -> list[str]:
    return ["none" if label <= NO_CLASS else str(label) for label in labels.tolist()]


def _ids(points: Points) -> list[str]:
    """Names of samples, empty where a set has none; no list at all where no set has any."""
    sets = points.browsed.sets
    if all(each.ids is None for each in sets):
        return []
    pairs = zip(points.chosen.sets.tolist(), points.chosen.samples.tolist(), strict=True)
    known = [each.ids for each in sets]
    return ["" if (ids := known[which]) is None else str(ids[sample]) for which, sample in pairs]
