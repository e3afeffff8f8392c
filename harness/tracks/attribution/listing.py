"""What can be looked at of a run of an XAI method: every explained sample with its map, by how far metrics disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.tracks.attribution.picture import BAR, map_pictures, probabilities
from harness.tracks.base import Answers
from harness.tracks.views import Card, Key, SampleList, columns_of, compact_uri, rounded

if TYPE_CHECKING:
    import numpy as np

    from harness.metrics.attribution.base import MapMetric
    from harness.spec.run import Unit
    from harness.tracks.attribution.track import AttributionTrack

_DISAGREEMENT = "disagreement"


def attribution_listing(
    track: AttributionTrack, answers: Mapping[Unit, Answers], maps: Mapping[Unit, np.ndarray]
) -> SampleList | None:
    """One row for each sample of each network; None for a run without answers."""
    rows: list[dict[str, Any]] = []
    places: list[tuple[Unit, int]] = []
    for unit, outputs in answers.items():
        found = list(_rows(track, unit, track.values(unit, outputs)))
        rows += found
        places += [(unit, sample) for sample in range(len(found))]
    if not rows:
        return None
    metrics = dict.fromkeys(name for row in rows for name in row)
    rows = [{name: row.get(name) for name in metrics} for row in rows]
    spreads = [name for name in metrics if name.startswith(_DISAGREEMENT)]

    def cards(place: int) -> tuple[Card, ...]:
        unit, sample = places[place]
        samples, row = track.samples(unit), rows[place]
        what = f"sample {sample} of class {row['class']} on {unit.model}"
        if unit not in maps:
            return ()
        pictures = map_pictures(samples.inputs[sample], maps[unit][sample], what, compact_uri)
        return (Card(pictures, marked=row["decision"] == "wrong"),)

    return SampleList(
        "Every explained sample: the input, the map, and the map over the input, each map scaled by its own largest value; framed samples are classified wrongly. "
        "Disagreement is the standard deviation, over metrics, of the places from 0 (best) to 1 (worst) at which they put a "
        "sample among those of its network: 0 where all agree, 0.5 at most. Look first at maps on which metrics are at odds: "
        "there one number alone would mislead. Columns named after metrics hold their scores as they are.",
        columns_of(rows),
        ("study", "network", "class", "predicted", "decision"),
        {**dict.fromkeys(spreads, True), "p(class)": False, "p(predicted)": True},
        ("network", "class", "predicted", "p(class)", "p(predicted)", *spreads[:1], "best place", "worst place"),
        cards,
        tuple(Key(name, of) for name, of in zip(("against the class", "nothing", "for the class"), BAR, strict=True)),
    )


def _rows(track: AttributionTrack, unit: Unit, values: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    import numpy as np

    from harness.statistics.agreement import places_of, rank_spread

    metrics = {metric.id: metric for metric in track.metrics(track.study(unit.study))}
    costs = np.stack([_cost(metrics[name], each) for name, each in values.items()])
    criteria = np.array([metrics[name].criterion for name in values])
    spreads = {_DISAGREEMENT: rank_spread(costs)}
    for criterion in dict.fromkeys(criteria):
        if (criteria == criterion).sum() > 1:
            spreads[f"{_DISAGREEMENT} of {criterion} metrics"] = rank_spread(costs[criteria == criterion])
    numbers = {name: rounded(each, 4) for name, each in spreads.items()}
    scores = {name: rounded(each) for name, each in values.items()}
    places, names = places_of(costs), list(values)
    samples = track.samples(unit)
    said = probabilities(track, unit, samples.inputs)
    for sample, of in enumerate(said):
        target, predicted = int(samples.targets[sample]), int(of.argmax())
        order = [each for each in np.argsort(places[:, sample], kind="stable") if np.isfinite(places[each, sample])]
        at = [f"{names[each]} ({places[each, sample]:.2f})" for each in order]
        yield {
            "study": unit.study,
            "network": unit.model,
            "sample": sample,
            "class": target,
            "predicted": predicted,
            "decision": "right" if target == predicted else "wrong",
            "p(class)": round(float(of[target]), 4),
            "p(predicted)": round(float(of[predicted]), 4),
            **{name: each[sample] for name, each in numbers.items()},
            "best place": at[0] if at else None,
            "worst place": at[-1] if at else None,
            **{name: each[sample] for name, each in scores.items()},
        }


def _cost(metric: MapMetric, scores: np.ndarray) -> np.ndarray:
    """Scores such that low is good."""
    return -scores if metric.direction == "higher" else scores
