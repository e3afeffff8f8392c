"""RandAugment (Cubuk et al. 2020): operations that are drawn, on levels (n, c, h, w) from 0 to 255."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.spec.augmentation import RandAugment
from harness.tracks.query.classification import colours, warps
from harness.tracks.query.classification.draws import signed

Operation = Callable[[Tensor, Tensor], Tensor]
"""Levels (n, c, h, w) and a strength (n, 1, 1, 1) in tenths, from 0.1 to 1 -> levels."""


def rand_augmented(images: Tensor, spec: RandAugment) -> Tensor:
    """`n` operations on each image, drawn with their strengths."""
    count, device, operations = len(images), images.device, OPERATIONS[spec.operations]
    for _ in range(spec.n):
        chosen = torch.randint(len(operations), (count,), device=device)
        chosen[torch.rand(count, device=device) >= spec.probability] = -1
        level = torch.full((count, 1, 1, 1), spec.m, device=device)
        if spec.operations == "fixmatch":
            level = torch.randint(1, spec.m, (count, 1, 1, 1), device=device)
        changed = images.clone()
        for number, operation in enumerate(operations):
            mine = chosen == number
            if mine.any():
                changed[mine] = operation(images[mine], level[mine] / 10)
        images = changed
    return images


def _identity(images: Tensor, strength: Tensor) -> Tensor:
    return images


def _auto_contrast(images: Tensor, strength: Tensor) -> Tensor:
    return colours.auto_contrast(images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    return colours.equalize(images)


def _invert(images: Tensor, strength: Tensor) -> Tensor:
    return 255 - images


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    return colours.posterize(images, 4 + _whole(4 * strength))


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    return colours.solarize(images, 256 - _whole(256 * strength))


def _solarize_added(images: Tensor, strength: Tensor) -> Tensor:
    return colours.solarize((images + signed(_whole(110 * strength))).clamp(0, 255), 128)


def _enhanced(change: Operation, most: float, least: float) -> Operation:
    """A change by a factor that grows with the strength from `least`."""

    def changed(images: Tensor, strength: Tensor) -> Tensor:
        return change(images, most * strength + least)

    return changed


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    return warps.rotated(images, signed(_whole(30 * strength)))


def _shear_x(images: Tensor, strength: Tensor) -> Tensor:
    return warps.nearest(images, 1.0, signed(0.3 * strength.double()), 0.0, 0.0, 1.0, 0.0)


def _shear_y(images: Tensor, strength: Tensor) -> Tensor:
    return warps.nearest(images, 1.0, 0.0, 0.0, signed(0.3 * strength.double()), 1.0, 0.0)


def _translated(axis: int, most: float) -> Operation:
    def moved(images: Tensor, strength: Tensor) -> Tensor:
        pixels = signed(_whole(most * strength * images.shape[axis]))
        right, down = (pixels, 0.0) if axis == 3 else (0.0, pixels)
        return warps.nearest(images, 1.0, 0.0, right, 0.0, 1.0, down)

    return moved


def _cut(images: Tensor, strength: Tensor) -> Tensor:
    return colours.cut_out(images, _whole(0.2 * strength * min(images.shape[2:])))


def _whole(numbers: Tensor) -> Tensor:
    """Rounded down, where a number that is whole but for rounding errors counts as whole."""
    return (numbers + 1e-4).floor()


def _enhancements(most: float, least: float) -> tuple[Operation, ...]:
    changes = (colours.brightness, colours.saturation, colours.contrast, colours.sharpness)
    return tuple(_enhanced(change, most, least) for change in changes)


_SHARED: tuple[Operation, ...] = (_auto_contrast, _equalize, _posterize, _solarize, _rotate, _shear_x, _shear_y)

OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "fixmatch": (
        *_SHARED,
        *_enhancements(0.9, 0.05),
        _translated(3, 0.3),
        _translated(2, 0.3),
        _identity,
    ),
    "extended": (
        *_SHARED,
        *_enhancements(1.8, 0.1),
        _translated(3, 0.45),
        _translated(2, 0.45),
        _invert,
        _solarize_added,
        _cut,
    ),
}
