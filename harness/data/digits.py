"""Digits as images, volumes and point clouds, alone or beside a distractor whose place is known.

All are made from the 5,000 MNIST digits of `embedded.mnist_5k`, in a way that a model must look at the digit: the
distractor (a shape that is no digit) says nothing about the class, and the mask tells the two apart. Grey values
are multiples of 1/255 and coordinates of 1e-4, so that processors which differ in the last bit give the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.data.embedded import SIDE, Images, Labels, mnist_5k
from harness.spec.method import Modality

Variant = Literal["plain", "distractor"]
Floats = npt.NDArray[np.float64]

VOLUME_SIDE = 16
POINTS = 256
DIGIT_POINTS = 200  # beside a distractor, which has the others

_INK = 0.1  # of full ink; what has less is the soft edge of a digit and not in its mask
_SLAB = 4.0  # thickness of a volume's digit, voxels
_SLAB_TURN = np.pi / 4  # largest turn about the vertical axis
_SHEET = 2.0  # thickness of a cloud's digit, pixels
_BEHIND = 8.0  # pixels from a cloud's digit back to its distractor
_RADIUS = float(SIDE)  # pixels, of the unit ball; the same for all, so that a digit keeps its size
_CLOUD_TURN = np.pi / 18  # largest turn about each axis


@dataclass(frozen=True)
class DigitSamples:
    """inputs (n, c, *spatial) float32; targets (n,) int64, the digits 0 to 9.

    masks (n, 1, *spatial) bool: what belongs to the digit; None without distractor.
    """

    inputs: npt.NDArray[np.float32]
    targets: Labels
    masks: npt.NDArray[np.bool_] | None


def digits(modality: Modality, variant: Variant, indices: Labels, seed: int = 0) -> DigitSamples:
    """Digits of `mnist_5k` with these indices (n,), in a modality.

    - image (n, 1, 28, 28): 0 = paper, 1 = ink.
    - volume (n, 1, 16, 16, 16), axes depth, row, column: the digit as a slab, turned about the vertical axis.
    - point-cloud (n, 3, 256), x to the right, y up, z: points drawn from the ink, as a thin sheet, slightly turned,
      centred, within the unit ball, in random order.

    plain: the digit in its original place, which in an image is the MNIST digit itself. distractor: the digit made
    smaller and put anywhere, with a shape elsewhere. A sample depends on modality, variant, seed and its own index.
    """
    if modality not in _RENDER or variant not in ("plain", "distractor"):
        raise ValueError(f"unknown modality or variant: {modality!r}, {variant!r}.")
    images, labels = _source()
    kind = zlib.crc32(f"{modality}/{variant}".encode())
    made = [_sample(modality, variant, images[i], np.random.default_rng([seed, kind, int(i)])) for i in indices]
    if not made:
        raise ValueError("indices are empty.")
    inputs, masks = (np.stack(part) for part in zip(*made, strict=True))
    return DigitSamples(inputs, labels[indices], masks if variant == "distractor" else None)


def _sample(
    modality: Modality, variant: Variant, image: Images, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    layout = _LAYOUTS[modality]
    if variant == "distractor":
        digit, distractor = _scene(image, layout, rng)
    else:
        digit = _scaled(image, (0, 0, SIDE, SIDE), layout.side, layout.side)
        distractor = np.zeros_like(digit)
    inputs, mask = _RENDER[modality](digit, distractor, rng)
    return inputs.astype(np.float32), mask


@dataclass(frozen=True)
class _Layout:
    """Pixels: side of the canvas, smallest and largest long side of a digit and of a distractor, gap between both.

    The largest of both and the gap must fit into the side.
    """

    side: int
    digit: tuple[int, int]
    distractor: tuple[int, int]
    gap: int


_LAYOUTS: dict[Modality, _Layout] = {
    "image": _Layout(SIDE, (16, 18), (6, 8), gap=2),
    "volume": _Layout(VOLUME_SIDE, (10, 10), (4, 5), gap=1),
    "point-cloud": _Layout(SIDE, (16, 18), (6, 8), gap=2),
}


def _scene(image: Images, layout: _Layout, rng: np.random.Generator) -> tuple[Images, Images]:
    """A canvas (side, side) with the digit and one with the distractor, apart."""
    digit = _cropped(image, int(rng.integers(*layout.digit, endpoint=True)))
    shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    size = int(rng.integers(*layout.distractor, endpoint=True))
    distractor = np.where(shape(*np.indices((size, size))), 255, 0).astype(np.uint8)
    free = layout.side - np.array([digit.shape, distractor.shape]) + 1
    while True:
        first, second = rng.integers(free)
        if np.any((first + digit.shape + layout.gap <= second) | (second + size + layout.gap <= first)):
            return _placed(digit, first, layout.side), _placed(distractor, second, layout.side)


def _cropped(image: Images, length: int) -> Images:
    """The digit without margin, its long side scaled to `length` pixels."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = length / max(width, height)
    return _scaled(image, box, max(2, round(width * scale)), max(2, round(height * scale)))


def _scaled(image: Images, box: tuple[int, int, int, int], width: int, height: int) -> Images:
    """The part of an image in box (left, top, right, bottom), each new pixel the mean of those whose centre it holds."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX, box=box))


def _placed(patch: Images, corner: Labels, side: int) -> Images:
    canvas = np.zeros((side, side), dtype=np.uint8)
    (top, left), (height, width) = corner, patch.shape
    canvas[top : top + height, left : left + width] = patch
    return canvas


# Shapes that are no digits, as conditions on row and column (s, s), both from 0 to s - 1.
_SHAPES: tuple[Callable[[Labels, Labels], npt.NDArray[np.bool_]], ...] = (
    lambda row, column: np.minimum.reduce([row, column, row.max() - row, row.max() - column]) < 1,  # square
    lambda row, column: np.abs(2 * column - row.max()) <= row,  # triangle
    lambda row, column: row % 3 < 2 if row.max() > 5 else row % 2 == 0,  # stripes
    lambda row, column: (np.abs(row - column) < 1) | (np.abs(row + column - row.max()) < 1),  # cross
    lambda row, column: np.hypot(row - row.max() / 2, column - row.max() / 2) <= row.max() / 2 + 0.2,  # disk
    lambda row, column: (row // 2 + column // 2) % 2 == 0,  # chequers
)


def _image(digit: Images, distractor: Images, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    return (digit + distractor)[None] / 255, (digit >= 255 * _INK)[None]


def _volume(digit: Images, distractor: Images, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    turn = rng.uniform(-_SLAB_TURN, _SLAB_TURN)
    body, other = (_extruded(layer, turn) for layer in (digit, distractor))
    return (body + other)[None] / 255, (body >= 255 * _INK)[None]


def _extruded(layer: Images, turn: float) -> Floats:
    """A layer (s, s) as a slab (s, s, s) turned about the vertical axis, in whole grey values."""
    side = len(layer)
    places = np.arange(side) - (side - 1) / 2
    depth, right = places[:, None], places[None, :]
    along, through = np.cos(turn) * right + np.sin(turn) * depth, np.cos(turn) * depth - np.sin(turn) * right
    slab = np.clip((_SLAB + 1) / 2 - np.abs(through), 0, 1)
    columns = np.clip(1 - np.abs(along[:, :, None] - places), 0, None)  # weights (depth, right, column of the layer)
    return np.asarray(np.rint((columns @ layer.T * slab[:, :, None]).transpose(0, 2, 1)))


def _cloud(digit: Images, distractor: Images, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    from scipy.spatial.transform import Rotation

    count = DIGIT_POINTS if distractor.any() else POINTS
    points = np.concatenate([_drawn(digit, count, rng), _drawn(distractor, POINTS - count, rng) - [0, 0, _BEHIND]])
    points = Rotation.from_euler("xyz", rng.uniform(-_CLOUD_TURN, _CLOUD_TURN, 3)).apply(points)
    points -= points.mean(axis=0)
    order = rng.permutation(POINTS)
    return (points[order].T / _RADIUS).round(4), (order < count)[None]


def _drawn(layer: Images, count: int, rng: np.random.Generator) -> Floats:
    """Points (count, 3) anywhere in the pixels of a layer, each pixel as probable as it is dark."""
    if not count:
        return np.empty((0, 3))
    upto = np.cumsum(layer, dtype=np.int64)
    rows, columns = np.divmod(np.searchsorted(upto, rng.integers(upto[-1], size=count), side="right"), layer.shape[1])
    right, down, thick = rng.random((3, count))
    return np.stack([columns + right, -(rows + down), _SHEET * thick], axis=1)


_RENDER: dict[Modality, Callable[[Images, Images, np.random.Generator], tuple[Floats, npt.NDArray[np.bool_]]]] = {
    "image": _image,
    "volume": _volume,
    "point-cloud": _cloud,
}


@cache
def _source() -> tuple[Images, Labels]:
    return mnist_5k()
