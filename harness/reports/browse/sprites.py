"""Small images of many samples in few files, so that a page shows any of them without asking for it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reports.browse.chosen import Chosen
from harness.reports.browse.samples import Browsed

if TYPE_CHECKING:
    import numpy as np

SIDE = 48  # pixels beyond which images are made smaller
_ACROSS = 64
_SHEET = 4096  # images of one sheet
_MOST_BYTES = 12_000_000


@dataclass(frozen=True)
class Sprites:
    """Sheets as data URIs, of rows of `across` images of `side` x `side` pixels. cell (n,): place of each point's image,
    sheet after sheet; -1 where there is none."""

    sheets: tuple[str, ...]
    side: int
    across: int
    per_sheet: int
    cell: np.ndarray


def sprites(browsed: Browsed, chosen: Chosen, first: np.ndarray) -> Sprites | None:
    """Images of the points, those of `first` (points that are surely looked at) before the others, as many as fit into
    12 MB; None where the benchmark has no images."""
    import numpy as np

    side, images = 0, dict[int, np.ndarray]()
    for number, each in enumerate(browsed.sets):
        points = np.flatnonzero(chosen.sets == number)
        inputs = browsed.track.source.inputs(each.name) if len(points) else None
        if inputs is None or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
            continue
        small = _small(inputs[chosen.samples[points]])
        side = max(side, small.shape[1])
        images |= dict(zip(points.tolist(), small, strict=True))
    if not images or len({image.shape for image in images.values()}) > 1:
        return None
    order = [point for point in dict.fromkeys([*first.tolist(), *sorted(images)]) if point in images]
    cell, sheets, taken = np.full(len(chosen.sets), -1), list[str](), 0
    for start in range(0, len(order), _SHEET):
        part = order[start : start + _SHEET]
        sheet = _sheet([images[point] for point in part])
        taken += len(sheet)
        if sheets and taken > _MOST_BYTES:
            break
        cell[part] = np.arange(start, start + len(part))
        sheets.append(sheet)
    return Sprites(tuple(sheets), side, _ACROSS, _SHEET, cell)


def _small(inputs: np.ndarray) -> np.ndarray:
    """(n, channels, h, w) as a network takes them -> (n, side, side, 1 or 3) uint8, from the darkest to the brightest
    value of the set."""
    import numpy as np
    from PIL import Image

    low, high = float(inputs.min()), float(inputs.max())
    grey = ((inputs - low) * (255 / ((high - low) or 1))).round().astype(np.uint8).transpose(0, 2, 3, 1)
    side = min(SIDE, max(grey.shape[1:3]))
    if grey.shape[1:3] == (side, side):
        return grey
    smaller = [np.asarray(Image.fromarray(each.squeeze()).resize((side, side), Image.Resampling.BOX)) for each in grey]
    return np.stack(smaller).reshape(len(grey), side, side, -1)


def _sheet(images: list[np.ndarray]) -> str:
    """A WebP file as a data URI."""
    import numpy as np
    from PIL import Image

    side, channels = images[0].shape[0], images[0].shape[2]
    rows = -(-len(images) // _ACROSS)
    sheet = np.zeros((rows * _ACROSS, side, side, channels), dtype=np.uint8)
    sheet[: len(images)] = np.stack(images)
    whole = (
        sheet.reshape(rows, _ACROSS, side, side, channels).swapaxes(1, 2).reshape(rows * side, _ACROSS * side, channels)
    )
    out = io.BytesIO()
    Image.fromarray(whole.squeeze(2) if channels == 1 else whole).save(out, "webp", quality=70, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
