"""What a page shows of a run of a query strategy: learning curves, efficiency, who beats whom, what was queried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.metrics.budget_curve import foreground_efficiency_fit
from harness.spec.query import RawFolder
from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.leaderboard import Entry
from harness.tracks.query.campaign import PICKS
from harness.tracks.query.curves import PERFORMANCE, SHARE, Curves, curves_of, penalties
from harness.tracks.query.geometry import Patch, within
from harness.tracks.views import (
    Card,
    Chart,
    Gallery,
    Key,
    Picture,
    Role,
    Shown,
    View,
    colour,
    columns_of,
    image_uri,
    key,
    levels,
    line_style,
    rounded,
)

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.query.classification.data import Images
    from harness.tracks.query.segmentation.cases import Cases
    from harness.tracks.query.sources import Setting
    from harness.tracks.query.track import QueryTrack

_ROLES: tuple[Role, ...] = ("other", "simplest", "median", "best", "this run")  # the last lies on top
_MOST_IMAGES, _MOST_PATCHES, _MOST_LOOPS = 20, 4, 8
_FIT_POINTS = 60


def query_views(track: QueryTrack, shown: Shown) -> Iterator[View]:
    """Views without anything to show are left out."""
    mine = _of_run(track, shown)
    if not mine:
        return
    rivals = curves_of(shown.entries())
    roles: dict[str, Role] = {each.name: each.role for each in shown.rivals}
    for axis in dict.fromkeys(axis for of in mine.values() for axis in of.axes()):
        yield _learning_curves(track, axis, mine, rivals, roles)
    yield from _beaten(track, shown)
    yield from _queried(track, shown.answers)


def _of_run(track: QueryTrack, shown: Shown) -> dict[str, Curves]:
    """study -> the run's curves, of seeds that have scores."""
    import numpy as np

    curves = {}
    for name, setting in track.settings.items():
        own = [each.arrays for unit, each in shown.measured.items() if unit.study == name]
        if own:
            performance = np.stack([each["performance"] for each in own])
            budget = setting.study.start + setting.study.query * np.arange(performance.shape[1])
            shares = [each["foreground"] for each in own if "foreground" in each]
            curves[name] = Curves(budget, performance, np.stack(shares) if shares else None)
    return curves


def _learning_curves(
    track: QueryTrack,
    axis: str,
    mine: Mapping[str, Curves],
    rivals: Mapping[str, Mapping[str, Curves]],
    roles: Mapping[str, Role],
) -> Chart:
    rows: list[dict[str, Any]] = []
    for study, curves in mine.items():
        of_study = {name: of[study] for name, of in rivals.items() if study in of}
        for name, theirs in of_study.items():
            rows += _mean_rows(study, roles.get(name, "other"), name, theirs, axis)
        rows += _mean_rows(study, "this run", track.method.name, curves, axis)
        for seed, (x, y) in enumerate(zip(curves.axes()[axis], curves.performance, strict=True)):
            rows += _rows(study, "seed", f"seed {seed}", x, y)
        rows += _fitted(track, study, curves) if axis == SHARE else []
    line = {"mark": "line", "x": "budget", "y": "performance", "z": "method"}
    own = colour("this run")
    seeds = {**line, "stroke": own, "strokeWidth": 0.7, "strokeOpacity": 0.55, "where": {"role": "seed"}}
    fit = {**line, "stroke": "var(--text)", "strokeDasharray": "1 4", "strokeWidth": 1.5, "where": {"role": "fit"}}
    dots = {"mark": "dot", "x": "budget", "y": "performance", "fill": own, "r": 3, "where": {"role": "this run"}}
    marks = [{**line, **line_style(role), "where": {"role": role}} for role in _ROLES]
    tip = {"mark": "tip", "pointer": "xy", "x": "budget", "y": "performance", "title": "method"}
    fits = (
        [Key("fit of the foreground efficiency", "var(--text)", "1 4")]
        if any(row["role"] == "fit" for row in rows)
        else []
    )
    drawn = {row["role"]: row["method"] for row in rows}
    keys = [key(role, drawn[role]) for role in _ROLES if role != "other" and role in drawn]
    others = [Key("other rows of the board", colour("other"))] if "other" in drawn else []
    return Chart(
        f"Performance by {axis}",
        "What networks that were trained on the annotated data achieve on held-out data. Lines are means over seeds, thin "
        "lines the run's seeds."
        + (" Efficiency is the rate b of the fit c - a exp(-b (x - x0)), c full data." if fits else ""),
        columns_of(rows),
        (*marks[:-1], seeds, *([fit] if fits else []), marks[-1], dots, tip),
        {"x": {"label": axis}, "y": {"label": PERFORMANCE[track.benchmark.performance]}},
        panel="study",
        keys=(*reversed(keys), *others, *fits),
    )


def _mean_rows(study: str, role: str, name: str, curves: Curves, axis: str) -> list[dict[str, Any]]:
    if axis not in curves.axes():
        return []
    return _rows(study, role, name, curves.axes()[axis].mean(axis=0), curves.performance.mean(axis=0))


def _rows(study: str, role: str, name: str, x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    where = {"study": study, "role": role, "method": name}
    return [{**where, "budget": a, "performance": b} for a, b in zip(rounded(x), rounded(y), strict=True)]


def _fitted(track: QueryTrack, study: str, curves: Curves) -> list[dict[str, Any]]:
    """The curve whose rate is the foreground efficiency; nothing where there is none."""
    import numpy as np

    full = track.study(study).full_performance
    if full is None or curves.share is None:
        return []
    try:
        fit = foreground_efficiency_fit({"": (curves.share, curves.performance)}, full)
    except ValueError:
        return []
    x = np.linspace(fit.x0, float(curves.share.max()), _FIT_POINTS)
    return _rows(study, "fit", "fit", x, fit.c - fit.a * np.exp(-fit.efficiency[""] * (x - fit.x0)))


def _beaten(track: QueryTrack, shown: Shown) -> Iterator[Chart]:
    """Who beats whom along the budgets, the run among the rows of the board."""
    from harness.tracks.query.leaderboard import QueryLeaderboard

    board = QueryLeaderboard(track.protocol)
    arrays, last = board.entry(track, shown.measured), board.columns[-1]
    name = "this run"
    method = track.method.model_copy(update={"name": name})
    own = Entry(method, arrays, len(shown.measured), len(shown.measured))
    entries = [each for each in (*shown.entries(), own) if last in each.arrays]
    if not shown.cells or last not in arrays or len(entries) < 2 or len(track.benchmark.seeds) < 2:
        return
    table = penalties(entries)
    entries.sort(key=lambda each: -float(each.arrays[last][0]))
    names = [each.method.name for each in entries if each.method.name in table.index]
    shares = 100 * table.loc[names, names].to_numpy(dtype=float)
    rows = [
        {"method": a, "against": b, "share": round(float(shares[line, column]), 2)}
        for line, a in enumerate(names)
        for column, b in enumerate(names)
        if a != b
    ]
    yield Chart(
        "Who beats whom",
        "Share in % of the budgets at which the method of the line is significantly better than that of the column "
        "(t-test paired by seed, level 0.05, mean over studies); best first.",
        columns_of(rows),
        (
            {
                "mark": "cell",
                "x": "against",
                "y": "method",
                "fill": colour("this run"),
                "fillOpacity": "share",
                "tip": True,
                "inset": 0.5,
            },
            {
                "mark": "text",
                "x": "against",
                "y": "method",
                "text": "share",
                "fill": "currentColor",
                "fontSize": 8,
                "where": {"method": name},
            },
        ),
        {
            "x": {"domain": names, "tickRotate": -60, "label": None},
            "y": {"domain": names, "label": None},
            "opacity": {"domain": [0, 100], "range": [0.06, 1]},
            "marginLeft": 20 + 6 * max(map(len, names)),
            "marginBottom": 130,
            "aspect": 0.95,
            "grid": False,
        },
        least_width=34 * len(names) + 150,
    )


def _queried(track: QueryTrack, answers: Mapping[Unit, Answers]) -> Iterator[Gallery]:
    """What the first seed of every study bought, loop by loop."""
    groups: list[tuple[str, tuple[Card, ...]]] = []
    segments = False
    for study, setting in track.settings.items():
        unit = next((unit for unit in answers if unit.study == study), None)
        if unit is None or isinstance(setting.dataset, RawFolder):  # to open a folder of volumes may take minutes
            continue
        picks = [answers[unit][f"{PICKS}{loop}"] for loop in range(_MOST_LOOPS) if f"{PICKS}{loop}" in answers[unit]]
        if not picks:
            continue
        segments = segments or setting.segments
        show = _patches if setting.segments else _images
        for loop, cards in enumerate(show(setting, unit.model_seed, picks)):
            bought = f"{len(picks[loop])} of the start" if loop == 0 else f"{len(picks[loop])} bought in loop {loop}"
            shown = f", {len(cards)} shown" if len(cards) < len(picks[loop]) else ""
            groups.append((f"{study} · {unit.model}: {bought}{shown}", tuple(cards)))
    if groups:
        what = (
            "A slice through the middle of each patch, which is framed, across the shortest axis."
            if segments
            else "The number is the class."
        )
        yield Gallery("What was queried", f"Of the first seed of every study, loop by loop. {what}", tuple(groups))


def _images(setting: Setting, seed: int, picks: list[np.ndarray]) -> Iterator[list[Card]]:
    from harness.tracks.query.classification.data import open_images

    images = open_images(setting, seed)
    for each in picks:
        cards = []
        for row in each[:_MOST_IMAGES, 0].tolist():
            label, pixels = int(images.pool_targets[row]), image_pixels(images, images.pool_inputs[row])
            cards.append(Card((Picture(image_uri(pixels), f"queried image, class {label}", str(label)),)))
        yield cards


def image_pixels(images: Images, one: np.ndarray) -> np.ndarray:
    """An input (c, h, w) as (h, w) or (h, w, 3) uint8, from the black to the white of its data set."""
    import numpy as np

    low, high = (each.reshape(-1, 1, 1) for each in (images.black, images.white))
    scaled = np.clip((one - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    return np.asarray(np.moveaxis(scaled, 0, -1) if len(scaled) == 3 else scaled.mean(axis=0), dtype=np.uint8)


def _patches(setting: Setting, seed: int, picks: list[np.ndarray]) -> Iterator[list[Card]]:
    from harness.tracks.query.segmentation.ledger import PatchLedger

    ledger = PatchLedger(setting, seed)
    for each in picks:
        yield [patch_card(ledger.cases, patch, image_uri) for patch in ledger.patches([each[:_MOST_PATCHES]])]


def patch_card(cases: Cases, patch: Patch, uri: Callable[[Any], str]) -> Card:
    """A slice through the middle of a patch, which is framed, across the shortest axis; of flat images all of them."""

    volume = cases.image(patch.image)
    corner, size = within(patch.box, volume.shape[1:])
    axis = shortest_axis(volume.shape[1:])
    place = 0 if axis is None else corner[axis] + size[axis] // 2
    kept = [each for each in range(volume.ndim - 1) if each != axis]
    pixels = slice_pixels(volume, axis, place)
    _frame(pixels, [corner[each] for each in kept], [size[each] for each in kept])
    where = patch.image if axis is None else f"{patch.image}, slice {place}"
    return Card((Picture(uri(pixels), f"{where}, with the patch at {tuple(map(int, corner))}"),), where)


def shortest_axis(shape: Sequence[int]) -> int | None:
    """The axis that volumes are cut across; None for flat images."""
    return min(range(3), key=lambda axis: shape[axis]) if len(shape) == 3 else None


def slice_pixels(image: np.ndarray, axis: int | None, place: int) -> np.ndarray:
    """(h, w, 3) uint8 of an image (channels, *shape): its first channel, of flat images in colours all three."""
    import numpy as np

    if axis is None and len(image) == 3:
        return np.asarray(levels(np.moveaxis(image, 0, -1)))
    flat = image[0] if axis is None else image[0].take(place, axis=axis)
    return np.repeat(levels(flat)[..., None], 3, axis=-1)


def _frame(pixels: np.ndarray, corner: Sequence[int], size: Sequence[int]) -> None:
    """Draw the border of a box into (h, w, 3)."""
    (y, x), (height, width) = corner, size
    for rows, columns in (
        (slice(y, y + 1), slice(x, x + width)),
        (slice(y + height - 1, y + height), slice(x, x + width)),
        (slice(y, y + height), slice(x, x + 1)),
        (slice(y, y + height), slice(x + width - 1, x + width)),
    ):
        pixels[rows, columns] = (255, 154, 77)
