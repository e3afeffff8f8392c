"""What a page shows of a run of an XAI method: maps beside what they explain, and how the metrics judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.metrics.attribution.registry import METRICS
from harness.statistics.agreement import metric_tau
from harness.statistics.criteria import metric_ranks
from harness.tracks.attribution.sources import built
from harness.tracks.base import spread
from harness.tracks.leaderboard import Entry
from harness.tracks.views import (
    Card,
    Chart,
    Gallery,
    Picture,
    Shown,
    View,
    beside_the_board,
    columns_of,
    image_uri,
    levels,
)

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.run import Unit
    from harness.tracks.attribution.track import AttributionTrack

_SAMPLES = 6
_AGAINST, _NOTHING, _FOR = (33, 102, 172), (247, 247, 247), (178, 24, 43)  # diverging, colour-blind safe
BAR = tuple(f"rgb{each}" for each in (_AGAINST, _NOTHING, _FOR))
"""CSS colours of a map: against the class, nothing, for it."""
_CLOUD = 56  # pixels of a side of a point cloud's picture
_AT_ONCE = 32  # samples that go through a network together


def attribution_views(track: AttributionTrack, shown: Shown, maps: Mapping[Unit, np.ndarray]) -> Iterator[View]:
    """Views without anything to show are left out."""
    yield from _gallery(track, maps)
    yield from beside_the_board(
        "Mean rank per criterion",
        "Mean rank over the metrics of a criterion, low is good. The bar is how far these ranks disagree (± their standard "
        "deviation): read a mean rank only where it is short.",
        shown,
        spread=True,
    )
    yield from _agreement(track, shown)


def _gallery(track: AttributionTrack, maps: Mapping[Unit, np.ndarray]) -> Iterator[Gallery]:
    groups = [(unit.label, tuple(_cards(track, unit, its_maps))) for unit, its_maps in maps.items()]
    if groups:
        yield Gallery(
            "Maps",
            "A few samples of every unit: the input, the map, and the map over the input. Framed samples are classified "
            "wrongly. Volumes are seen through the sum along their depth, point clouds from the front.",
            tuple(groups),
            (
                f"linear-gradient(90deg, {', '.join(BAR)})",
                "against the class",
                "Each map is scaled by its own largest value.",
                "for the class",
            ),
        )


def _cards(track: AttributionTrack, unit: Unit, maps: np.ndarray) -> Iterator[Card]:
    samples = track.samples(unit)
    rows = spread(len(samples.inputs), _SAMPLES)
    for row, of in zip(rows.tolist(), probabilities(track, unit, samples.inputs[rows]), strict=True):
        target, predicted = int(samples.targets[row]), int(of.argmax())
        yield Card(
            map_pictures(samples.inputs[row], maps[row], f"sample {row} of class {target}", image_uri),
            f"class {target}, predicted {predicted}\np({target}) = {of[target]:.2f}"
            + (f", p({predicted}) = {of[predicted]:.2f}" if predicted != target else ""),
            marked=predicted != target,
        )


def map_pictures(one: np.ndarray, its_map: np.ndarray, what: str, uri: Callable[[Any], str]) -> tuple[Picture, ...]:
    """An input (c, *spatial), its map (1 or c, *spatial) and both, by the encoding `uri`; `what`: the input in words."""
    grey, coloured, both = _pictures(one, its_map.mean(axis=0))
    return (
        Picture(uri(grey), what, "input"),
        Picture(uri(coloured), f"map of {what}", "map"),
        Picture(uri(both), f"map over {what}", "overlay"),
    )


def probabilities(track: AttributionTrack, unit: Unit, inputs: np.ndarray) -> np.ndarray:
    """What the network says of inputs (m, ...): (m, classes)."""
    import numpy as np
    import torch

    network = built(track.source, track.model(unit.model), "cpu").network
    parts = torch.from_numpy(np.ascontiguousarray(inputs)).split(_AT_ONCE)
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in parts])
    return np.asarray(torch.softmax(logits.double(), dim=1).numpy())


def _pictures(one: np.ndarray, its_map: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An input (c, *spatial) and its map (*spatial) as levels: the input, (h, w) or (h, w, 3), the map, and both, (h, w, 3).

    Dark stays dark: an image is shown as its values say, a radiograph like a radiograph.
    """
    import numpy as np

    if one.ndim == 2:
        place, side = _front(one)
        base, flat = np.zeros(side), np.zeros(side)
        np.maximum.at(base, place, 1.0)
        order = np.argsort(np.abs(its_map))  # the strongest point of a pixel is seen
        flat[tuple(each[order] for each in place)] = its_map[order]
        occupied = (base > 0)[..., None]
        coloured = np.where(occupied, _colours(flat), 0).astype(np.uint8)
        return (base * 255).astype(np.uint8), coloured, coloured
    flat = its_map.sum(axis=0) if its_map.ndim == 3 else its_map
    base = np.moveaxis(one, 0, -1) if one.ndim == 3 and len(one) == 3 else one.mean(axis=0)
    base = base.sum(axis=0) if one.ndim == 4 else base
    grey, coloured = levels(base), _colours(flat)
    strength = (np.abs(flat) / (float(np.abs(flat).max()) or 1.0))[..., None] ** 0.5
    below = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)
    return grey, coloured, (strength * coloured + (1 - strength) * below).astype(np.uint8)


def _front(points: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]]:
    """Pixels (rows, columns) of points (3, p) seen from the front, and the size of the picture."""
    import numpy as np

    low, span = points[:2].min(), float(np.ptp(points[:2])) or 1.0
    across, up = ((points[axis] - low) / span * (_CLOUD - 1) for axis in (0, 1))
    return (np.rint(_CLOUD - 1 - up).astype(int), np.rint(across).astype(int)), (_CLOUD, _CLOUD)


def _colours(flat: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w, 3) uint8, by the colour bar: white at 0, full colour at the largest magnitude."""
    import numpy as np

    share = flat / (float(np.abs(flat).max()) or 1.0)
    end = np.where((share >= 0)[..., None], _FOR, _AGAINST)
    return np.asarray(_NOTHING + np.abs(share)[..., None] * (end - np.array(_NOTHING))).round().astype(np.uint8)


def _agreement(track: AttributionTrack, shown: Shown) -> Iterator[Chart]:
    """Whether metrics order methods alike: Kendall's tau over the rows of the board and the run."""
    from harness.tracks.attribution.leaderboard import AttributionLeaderboard

    board = AttributionLeaderboard(track.protocol)
    own = Entry(track.method, board.entry(track, shown.measured), 0, 0)
    # Whether a row waits for its rank says nothing of the metrics.
    entries = [replace(each, waits=False) for each in shown.entries() if not each.method.reference]
    if not shown.cells or len(entries) < 2:
        return
    pool = [each.method.name for each in entries if each.method.name in track.benchmark.reference]
    ranks = metric_ranks(board.frame([*entries, own]), cell="cell", reference=pool or None)
    taus = metric_tau(ranks)
    names = sorted({*taus["metric_a"], *taus["metric_b"]}, key=lambda name: (METRICS[name].criterion, name))
    rows: list[dict[str, Any]] = []
    for a, b, tau in zip(taus["metric_a"], taus["metric_b"], taus["tau"], strict=True):
        value = round(float(tau), 3) if tau == tau else None
        rows += [{"metric": one, "with": other, "tau": value} for one, other in ((a, b), (b, a))]
    yield Chart(
        "Agreement of the metrics",
        "Kendall's tau between the orders in which two metrics put the methods of the board and this one: 1 alike, 0 "
        "unrelated, -1 reversed. Metrics stand by criterion.",
        columns_of(rows),
        ({"mark": "cell", "x": "with", "y": "metric", "fill": "tau", "inset": 0.5, "tip": True},),
        {
            "x": {"domain": names, "tickRotate": -60, "label": None},
            "y": {"domain": names, "label": None},
            "color": {
                "type": "linear",
                "domain": [-1, 0, 1],
                "range": BAR,
                "legend": True,
                "marginLeft": 14,
            },
            "marginLeft": 200,
            "marginBottom": 170,
            "aspect": 0.95,
            "grid": False,
        },
        least_width=22 * len(names) + 200,
    )
