"""Images (n, c, h, w) read at other places: shifted, turned, sheared, cropped."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.spec.augmentation import Affine
from harness.tracks.query.classification.draws import uniform

_TRIES = 10  # crops that are drawn until one fits
_BITS = 16  # behind the point, of places in an image


def shifted(images: Tensor, most: float, outside: Literal["mirrored", "black"]) -> Tensor:
    """Moved by whole pixels, at most by the share `most` of a side, each number of them as probable."""
    count, channels, height, width = images.shape
    device = images.device
    down, right = (min(max(1, round(side * most)), side - 1) for side in (height, width))
    padded = F.pad(images, (right, right, down, down), mode="reflect" if outside == "mirrored" else "constant")
    rows = torch.randint(2 * down + 1, (count, 1), device=device) + torch.arange(height, device=device)
    columns = torch.randint(2 * right + 1, (count, 1), device=device) + torch.arange(width, device=device)
    places = (rows * padded.shape[3])[:, :, None] + columns[:, None, :]
    return padded.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, channels, -1)).view_as(images)


def nearest(images: Tensor, *matrix: Tensor | float) -> Tensor:
    """The pixel that lies where six numbers (n, 1, 1, 1) or one for all, (a, b, c) and (d, e, f), send the middle of
    each pixel to: column a x + b y + c, row d x + e y + f. Black where there is none."""
    count, _, height, width = images.shape
    x = torch.arange(width, device=images.device)[None, None, None, :]
    y = torch.arange(height, device=images.device)[None, None, :, None]
    column, row = (
        (_fixed(start + across / 2 + along / 2) + _fixed(across) * x + _fixed(along) * y) >> _BITS
        for across, along, start in (matrix[:3], matrix[3:])
    )
    column, row = (each.expand(count, 1, height, width) for each in (column, row))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).expand_as(images)
    found = images.flatten(2).gather(2, place.flatten(2)).view_as(images)
    return torch.where(inside, found, torch.zeros_like(found))


def _fixed(number: Tensor | float) -> Tensor:
    """In 65,536ths, as Pillow counts: which of two pixels is read where a place lies just between them."""
    return (torch.as_tensor(number, dtype=torch.float64) * (1 << _BITS) + 0.5).floor().long()


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Turned counter-clockwise about the centre."""
    return _moved(images, degrees, torch.ones_like(degrees), 0.0, 0.0)


def randomly_moved(images: Tensor, step: Affine) -> Tensor:
    """Turned, scaled and moved by whole pixels."""
    height, width = images.shape[2:]
    right, down = (uniform(images, -step.translate * side, step.translate * side).round() for side in (width, height))
    return _moved(images, uniform(images, -step.degrees, step.degrees), uniform(images, *step.scale), right, down)


def _moved(images: Tensor, degrees: Tensor, scale: Tensor, right: Tensor | float, down: Tensor | float) -> Tensor:
    """Turned counter-clockwise and scaled about the centre, then moved."""
    middle_row, middle_column = images.shape[2] / 2, images.shape[3] / 2
    angle = degrees.double() * (math.pi / 180)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    x, y = middle_column + right, middle_row + down  # where the centre goes
    return nearest(
        images, cos, -sin, middle_column - cos * x + sin * y, sin, cos, middle_row - sin * x - cos * y
    )  # fmt: skip


def resized_crops(images: Tensor, area: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """A random part of each image at the size of the whole, read between pixels (bilinear), the part's edge repeated."""
    height, width = images.shape[2:]
    left, top, wide, high = _crops(images, area, ratio)
    columns, rows = (
        ((torch.arange(size, device=images.device) + 0.5) * (part / size)[:, None] - 0.5).clamp(min=0)
        for size, part in ((width, wide), (height, high))
    )
    across = _between(images, torch.minimum(columns, (wide - 1)[:, None]), left, 3)
    return _between(across, torch.minimum(rows, (high - 1)[:, None]), top, 2).round()


def _between(images: Tensor, places: Tensor, start: Tensor, axis: int) -> Tensor:
    """Images read along an axis at places (n, size) from a start (n,), linearly between neighbours."""
    before = places.floor()
    shape = [len(images), 1, 1, 1]
    shape[axis] = places.shape[1]
    values = []
    for offset in (0, 1):
        index = (before + offset).clamp(max=places.amax(dim=1, keepdim=True).ceil()) + start[:, None]
        target = list(images.shape)
        target[axis] = places.shape[1]
        values.append(images.gather(axis, index.long().view(shape).expand(target)))
    share = (places - before).view(shape)
    return values[0] + share * (values[1] - values[0])


def _crops(images: Tensor, area: tuple[float, float], ratio: tuple[float, float]) -> tuple[Tensor, ...]:
    """Left, top, width and height (n,) of a crop for each image, in whole pixels: of some that are drawn, the first that
    fits; else the largest in the middle whose ratio is allowed."""
    count, _, height, width = images.shape
    shape, device = (count, _TRIES), images.device
    size = height * width * (area[0] + (area[1] - area[0]) * torch.rand(shape, device=device))
    low, high_ratio = math.log(ratio[0]), math.log(ratio[1])
    stretch = (low + (high_ratio - low) * torch.rand(shape, device=device)).exp()
    wide, high = (size * stretch).sqrt().round(), (size / stretch).sqrt().round()
    fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    most_wide, most_high = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    wide = torch.where(found, wide.gather(1, first)[:, 0], float(max(1, most_wide)))
    high = torch.where(found, high.gather(1, first)[:, 0], float(max(1, most_high)))
    left, top = ((torch.rand(count, device=device) * (most + 1)).floor() for most in (width - wide, height - high))
    centred = ((width - wide) // 2, (height - high) // 2)
    return torch.where(found, left, centred[0]), torch.where(found, top, centred[1]), wide, high
