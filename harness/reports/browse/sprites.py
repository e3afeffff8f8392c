"""Small images of many samples in few files, so that a page shows any of them without asking for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
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
    """Sheets as data URIs, of rows of `across` images of `side` x `side` pixels. cells: for each network (n,), place of each
    point's image, sheet after sheet; -1 where there is none."""

    sheets: tuple[str, ...]
    side: int
    across: int
    per_sheet: int
    cells: tuple[np.ndarray, ...]


def sprites(of: Sequence[tuple[Browsed, Chosen, np.ndarray]]) -> Sprites | None:
    """Images of the points of networks, each sample's once, as many as fit into 12 MB; None where there are none.

    of: networks with their points, and numbers of points that go before the others: those that are surely looked at.
    """
    import numpy as np

    wanted = [_samples(browsed, chosen, first) for browsed, chosen, first in of]
    images = _images(of[0][0], dict.fromkeys(sample for found, _ in wanted for sample in found))
    if not images or len({image.shape for image in images.values()}) > 1:
        return None
    ahead = dict.fromkeys(sample for _, first in wanted for sample in first)
    order = [sample for sample in [*ahead, *(each for each in images if each not in ahead)] if sample in images]
    place, sheets, taken = dict[tuple[str, int], int](), list[str](), 0
    for start in range(0, len(order), _SHEET):
        part = order[start : start + _SHEET]
        sheet = _sheet([images[sample] for sample in part])
        taken += len(sheet)
        if sheets and taken > _MOST_BYTES:
            break
        place |= {sample: start + number for number, sample in enumerate(part)}
        sheets.append(sheet)
    cells = tuple(np.array([place.get(sample, -1) for sample in found], dtype=int) for found, _ in wanted)
    return Sprites(tuple(sheets), next(iter(images.values())).shape[0], _ACROSS, _SHEET, cells)


def _samples(
    browsed: Browsed, chosen: Chosen, first: np.ndarray
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Set and number of each point's sample, and of those of `first`."""
    names = [each.name for each in browsed.sets]
    found = [(names[which], row) for which, row in zip(chosen.sets.tolist(), chosen.samples.tolist(), strict=True)]
    return found, [found[point] for point in first.tolist()]


def _images(browsed: Browsed, samples: Iterable[tuple[str, int]]) -> dict[tuple[str, int], np.ndarray]:
    """Of samples in sets that have images: (side, side, 1 or 3) uint8."""
    by_set: dict[str, list[int]] = {}
    found: dict[tuple[str, int], np.ndarray] = {}
    for name, row in samples:
        by_set.setdefault(name, []).append(row)
    for name, rows in by_set.items():
        inputs = browsed.track.source.inputs(name)
        if inputs is not None and inputs.ndim == 4 and inputs.shape[1] in (1, 3):
            ordered = sorted(rows)
            found |= {(name, row): image for row, image in zip(ordered, _small(inputs[ordered]), strict=True)}
    return found


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
