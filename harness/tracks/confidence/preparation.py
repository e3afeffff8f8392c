"""From images as a data set holds them to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError
from harness.spec.released import Preparation

if TYPE_CHECKING:
    import numpy as np

_WHITE = 255.0


def prepare(images: Sequence[np.ndarray], how: Preparation, where: str) -> np.ndarray:
    """Images (h, w) or (h, w, c) uint8 of any size as one batch (n, c, h, w) float32.

    Grey images are repeated for networks of three channels. Raises UsageError, which names the set as `where`, for
    images that the preparation does not fit.
    """
    import numpy as np

    prepared = [_cropped(_resized(_with_channels(image, how, where), how), how, where) for image in images]
    shapes = sorted({image.shape for image in prepared})
    if len(shapes) > 1:
        raise UsageError(
            f"{where}: its images differ in size ({shapes[0][:2]}, {shapes[-1][:2]}, ...); the benchmark must `resize` "
            "them to (height, width), or `crop` them."
        )
    batch = np.stack(prepared).astype(np.float32) / np.float32(_WHITE)
    normalised = (batch - np.asarray(how.mean, np.float32)) / np.asarray(how.std, np.float32)
    return np.ascontiguousarray(np.moveaxis(normalised, 3, 1))


def _with_channels(image: np.ndarray, how: Preparation, where: str) -> np.ndarray:
    import numpy as np

    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise UsageError(f"{where}: a sample is {image.dtype} of shape {image.shape}, not an image of bytes.")
    image = image[:, :, None] if image.ndim == 2 else image
    channels = len(how.mean)
    if image.shape[2] == 1:
        return np.repeat(image, channels, axis=2)
    if image.shape[2] == channels + 1 == 4:
        return image[:, :, :3]  # transparency says nothing of what is seen
    if image.shape[2] != channels:
        raise UsageError(f"{where}: an image has {image.shape[2]} channels where mean and std have {channels}.")
    return image


def _resized(image: np.ndarray, how: Preparation) -> np.ndarray:
    """Bilinear, each channel alone; by four neighbours the values are no longer whole."""
    if how.resize is None:
        return image
    import numpy as np
    from PIL import Image

    height, width = _size(image.shape[:2], how.resize)
    if (height, width) == image.shape[:2]:
        return image
    if how.interpolation == "four-neighbours":
        return _between_neighbours(image, height, width)
    planes = (Image.fromarray(np.ascontiguousarray(image[:, :, channel])) for channel in range(image.shape[2]))
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(plane.resize((width, height), bilinear)) for plane in planes], axis=2)


def _between_neighbours(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, c) float32, of bytes (h, w, c)."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0))).float()[None]
    resized = torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
    return np.moveaxis(resized[0].numpy(), 0, 2)


def _size(shape: tuple[int, ...], wanted: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width after a resize; of the longer side the fraction is cut, as torchvision does."""
    if not isinstance(wanted, int):
        return wanted
    height, width = shape
    if height <= width:
        return wanted, int(wanted * width / height)
    return int(wanted * height / width), wanted


def _cropped(image: np.ndarray, how: Preparation, where: str) -> np.ndarray:
    if how.crop is None:
        return image
    height, width = image.shape[:2]
    if min(height, width) < how.crop:
        raise UsageError(f"{where}: an image of {height} x {width} has no centre of {how.crop} pixels; `resize` first.")
    top, left = round((height - how.crop) / 2), round((width - how.crop) / 2)
    return image[top : top + how.crop, left : left + how.crop]
