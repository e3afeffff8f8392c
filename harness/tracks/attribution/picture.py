"""Maps of a run beside what they explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.spec.run import Unit
from harness.tracks.base import spread
from harness.tracks.figure import Figure, as_svg, grid

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.attribution.track import AttributionTrack

_SAMPLES = 6
_COLOURS = "RdBu_r"  # diverging, colour-blind safe: red speaks for the class, blue against it


def map_gallery(track: AttributionTrack, maps: Mapping[Unit, np.ndarray]) -> Figure:
    """A row per study and network, a column per sample: the input above its map."""
    rows = []
    for unit, its_maps in maps.items():
        samples = track.samples(unit)
        shown = spread(len(samples.inputs), _SAMPLES)
        rows.append((unit.label, samples.inputs[shown], its_maps[shown], samples.targets[shown]))
    return Figure(
        "Maps",
        "A few samples of every unit. Red speaks for the class in the title, blue against it; each map is scaled by its "
        "own largest value. Volumes are seen through the sum along their depth, point clouds from the front.",
        draw_gallery(rows),
    )


def draw_gallery(rows: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> str:
    """SVG of rows of (label, inputs (m, c, *spatial), maps (m, 1 or c, *spatial), targets (m,)); empty without rows."""
    if not rows:
        return ""
    columns = max(len(inputs) for _, inputs, _, _ in rows)
    with grid(2 * len(rows), columns, 1.1 * columns + 1.2, 2.3 * len(rows)) as (drawing, panels):
        for panel in panels.ravel():
            panel.set_xticks([])
            panel.set_yticks([])
            for side in panel.spines.values():
                side.set_visible(False)
        for number, (label, inputs, maps, targets) in enumerate(rows):
            panels[2 * number, 0].set_ylabel(label.replace(" · ", "\n"), rotation=0, ha="right", va="center")
            for column, (one, its_map, target) in enumerate(zip(inputs, maps, targets, strict=True)):
                panels[2 * number, column].set_title(str(target), fontsize=8)
                _draw_input(panels[2 * number, column], one)
                _draw_map(panels[2 * number + 1, column], one, its_map.mean(axis=0))
        return as_svg(drawing)


def _draw_input(panel: Any, one: np.ndarray) -> None:
    """One input (c, *spatial): image, volume from the front, or points (3, p)."""
    import numpy as np

    if one.ndim == 2:
        panel.scatter(one[0], one[1], s=1.5, c="#1b1b1b", linewidths=0)
        panel.set_aspect("equal")
    elif one.ndim == 4:
        panel.imshow(one.mean(axis=0).sum(axis=0), cmap="gray_r")
    elif len(one) == 3:
        span = np.ptp(one) or 1.0
        panel.imshow(np.moveaxis((one - one.min()) / span, 0, -1))
    else:
        panel.imshow(one.mean(axis=0), cmap="gray_r")


def _draw_map(panel: Any, one: np.ndarray, its_map: np.ndarray) -> None:
    import numpy as np

    flat = its_map.sum(axis=0) if its_map.ndim == 3 else its_map
    largest = float(np.abs(flat).max()) or 1.0
    scale = {"cmap": _COLOURS, "vmin": -largest, "vmax": largest}
    if flat.ndim == 1:
        panel.scatter(one[0], one[1], s=2.5, c=flat, linewidths=0, **scale)
        panel.set_aspect("equal")
    else:
        panel.imshow(flat, **scale)
