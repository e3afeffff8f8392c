"""Samples into the arrays that protocols read: resized, cropped, scaled, in the order of axes asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Selection
from harness.spec.errors import UsageError
from harness.spec.products import CloudsForm, ImagesForm, VolumesForm
from harness.storage import ArrayStream, IntegrityError, write_array_streams

if TYPE_CHECKING:
    import numpy as np

ArrayForm = ImagesForm | VolumesForm | CloudsForm
Tick = Callable[[int], None]

BATCH = 64  # samples in memory at a time


def write_arrays_of(parts: Sequence[Selection], form: ArrayForm, path: Path, tick: Tick = lambda done: None) -> None:
    """Write the samples of parts, one after the other, as `inputs` and `labels` (and `background`) into an `.npz`.

    Memory holds BATCH samples. `tick` is told how many samples are done. Raises UsageError where samples do not come out
    in one size, IntegrityError for one that cannot be read; the file is then as it was.
    """
    import numpy as np

    labels = np.concatenate([part.labels for part in parts]).astype(np.int64)
    first = shaped(parts[0].read([0])[0], form)
    shape = (len(labels), *first.shape)
    background = form.background
    if background > len(labels):
        raise UsageError(f"{path.name} needs {background} samples as background, but its parts have {len(labels)}.")
    arrays = {
        "inputs": ArrayStream(first.dtype, shape, _batches(parts, form, first.shape, len(labels), tick)),
        "labels": ArrayStream(labels.dtype, labels.shape, [labels]),
    }
    if background:
        again = _batches(parts, form, first.shape, background, lambda done: None)
        arrays["background"] = ArrayStream(first.dtype, (background, *first.shape), again)
    write_array_streams(path, arrays)


def bytes_of(parts: Sequence[Selection], form: ArrayForm) -> int:
    """Size of the file that `write_arrays_of` would write, but for some headers."""
    first = shaped(parts[0].read([0])[0], form)
    return int(first.nbytes) * (sum(map(len, parts)) + form.background)


def shaped(sample: np.ndarray, form: ArrayForm) -> np.ndarray:
    """One sample in the form: (h, w, c), (c, h, w), (1, z, y, x) or (3, points). Raises UsageError."""
    import numpy as np

    if isinstance(form, ImagesForm):
        return _image(sample, form)
    if isinstance(form, VolumesForm):
        if sample.ndim != 3:
            raise UsageError(f"a volume (z, y, x) is needed, the samples are {sample.shape}.")
        return (sample[None].astype(np.float32) / np.float32(form.scale)).astype(np.float32)
    if sample.ndim != 2 or sample.shape[1] != 3:
        raise UsageError(f"a cloud (points, 3) is needed, the samples are {sample.shape}.")
    return np.ascontiguousarray(sample.T, dtype=np.float32)


def _batches(
    parts: Sequence[Selection], form: ArrayForm, shape: tuple[int, ...], count: int, tick: Tick
) -> Iterator[np.ndarray]:
    """The first `count` samples, in batches (b, *shape)."""
    import numpy as np

    done = 0
    for part in parts:
        for start in range(0, min(len(part), count - done), BATCH):
            rows = range(start, min(start + BATCH, len(part), start + count - done))
            batch = [shaped(sample, form) for sample in part.read(rows)]
            for row, sample in zip(rows, batch, strict=True):
                if sample.shape != shape:
                    raise UsageError(
                        f"{part.ids[row]} comes out as {sample.shape}, others as {shape}; give `size`, or `crop`."
                    )
            yield np.stack(batch)
            done += len(batch)
            tick(done)


def _image(sample: np.ndarray, form: ImagesForm) -> np.ndarray:
    import numpy as np

    if sample.dtype != np.uint8 or not (sample.ndim == 2 or (sample.ndim == 3 and sample.shape[2] == 3)):
        raise UsageError(f"8-bit images, grey or RGB, are needed; the samples are {sample.dtype} {sample.shape}.")
    pixels = _cropped(_resized(sample, form), form.crop)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    values: np.ndarray = pixels
    if form.scale is not None:
        values = pixels.astype(np.float32) / np.float32(form.scale)
    if form.mean is not None and form.std is not None:
        mean, std = (np.asarray(numbers, dtype=np.float32) for numbers in (form.mean, form.std))
        values = (values - mean) / std
    return np.ascontiguousarray(values if form.channels == "last" else np.moveaxis(values, -1, 0))


def _resized(pixels: np.ndarray, form: ImagesForm) -> np.ndarray:
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    if form.size is not None:
        height, width = form.size
    elif form.shorter_side is not None:
        # As in torchvision, the longer side is rounded down.
        short, side = min(height, width), form.shorter_side
        height, width = (side if length == short else int(side * length / short) for length in (height, width))
    if (height, width) == pixels.shape[:2]:
        return pixels
    if form.interpolation == "four-neighbours":
        return _between_neighbours(pixels, height, width)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _between_neighbours(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) or (height, width, c) float32."""
    import numpy as np
    import torch

    planes = torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1).float()[None]
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy().reshape(height, width, *pixels.shape[2:])


def _cropped(pixels: np.ndarray, side: int | None) -> np.ndarray:
    if side is None:
        return pixels
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise IntegrityError(f"an image of {height} x {width} is too small for a crop of {side}.")
    top, left = round((height - side) / 2), round((width - side) / 2)  # halves to even, as in torchvision
    return pixels[top : top + side, left : left + side]
