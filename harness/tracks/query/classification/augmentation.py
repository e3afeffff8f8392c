"""Random changes of images that keep their class, on whole batches; drawn from torch's global generator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_SHIFT, _SMALL_SHIFT = 1 / 8, 1 / 14  # of a side: 4 pixels of 32, and 2 of 28 for digits, which are centred already
_ROUNDS, _MAGNITUDE, _CHANCE = 2, 10, 0.5  # RandAugment: n, m, and how often a drawn operation is carried out
_LUMA = (0.299, 0.587, 0.114)
_CROP, _RATIO = (0.2, 1.0), (3 / 4, 4 / 3)  # SimCLR: share of the area, and width to height
_JITTER, _JITTERED, _GREYED, _HUE = 0.4, 0.8, 0.2, 0.1

Operation = Callable[[Tensor, Tensor], Tensor]
"""Images (n, c, h, w) in [0, 1] and a strength (n, 1, 1, 1) in (0, 1) for each -> images."""


class Augmentation:
    """Knows what is black and white in normalised images: the smallest and largest value of each channel."""

    def __init__(self, inputs: np.ndarray, mirrored: bool, device: str) -> None:
        axes = (0, 2, 3)
        self._low = torch.from_numpy(inputs.min(axis=axes)[:, None, None]).to(device)
        self._span = torch.from_numpy(np.ptp(inputs, axis=axes)[:, None, None]).to(device).clamp_min(1e-6)
        self._mirrored = mirrored

    def none(self, inputs: Tensor) -> Tensor:
        return inputs

    def basic(self, inputs: Tensor) -> Tensor:
        """Shifted by some pixels, what lies outside mirrored; half of them flipped where that fits."""
        return self._flipped(_shifted(inputs, _SHIFT if self._mirrored else _SMALL_SHIFT))

    def randaugment(self, inputs: Tensor) -> Tensor:
        """RandAugment (Cubuk et al. 2020) as FixMatch uses it, n = 2 and m = 10, on top of `basic`, then Cutout."""
        images = self._unit(self.basic(inputs))
        for _ in range(_ROUNDS):
            images = _random_operation(images)
        return self._normalised(_cut_out(images))

    def contrastive(self, inputs: Tensor) -> Tensor:
        """A view for SimCLR (Chen et al. 2020): crop and resize, flip where that fits, colour jitter, grey. No blur,
        as its authors do for small images."""
        images = self._flipped(_resized_crops(self._unit(inputs)))
        return self._normalised(_maybe_grey(_jittered(images)))

    def _flipped(self, images: Tensor) -> Tensor:
        return torch.where(_chance(images, 0.5), images.flip(-1), images) if self._mirrored else images

    def _unit(self, inputs: Tensor) -> Tensor:
        return (inputs - self._low) / self._span

    def _normalised(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1) * self._span + self._low


def _shifted(images: Tensor, most: float) -> Tensor:
    count, channels, height, width = images.shape
    device = images.device
    down, right = (min(max(1, round(side * most)), side - 1) for side in (height, width))
    padded = F.pad(images, (right, right, down, down), mode="reflect")
    rows = torch.randint(2 * down + 1, (count, 1), device=device) + torch.arange(height, device=device)
    columns = torch.randint(2 * right + 1, (count, 1), device=device) + torch.arange(width, device=device)
    every = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[every, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _random_operation(images: Tensor) -> Tensor:
    """One operation for each image, drawn with its strength."""
    count, device = len(images), images.device
    chosen = torch.randint(len(_OPERATIONS), (count,), device=device)
    chosen[torch.rand(count, device=device) >= _CHANCE] = -1
    strength = torch.randint(1, _MAGNITUDE, (count, 1, 1, 1), device=device) / 10
    changed = images.clone()
    for number, operation in enumerate(_OPERATIONS):
        mine = chosen == number
        if mine.any():
            changed[mine] = operation(images[mine], strength[mine]).clamp(0, 1)
    return changed


def _cut_out(images: Tensor) -> Tensor:
    """A grey square of half the side, anywhere (DeVries & Taylor 2017, Cutout)."""
    count, _, height, width = images.shape
    device = images.device
    inside = []
    for side in (height, width):
        centre = torch.rand(count, 1, device=device) * side
        inside.append((torch.arange(side, device=device) + 0.5 - centre).abs() <= side / 4)
    return torch.where(inside[0][:, None, :, None] & inside[1][:, None, None, :], 0.5, images)


def _identity(images: Tensor, strength: Tensor) -> Tensor:
    return images


def _auto_contrast(images: Tensor, strength: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-6), images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Each channel's grey values as evenly spread as they can be."""
    levels = (images * 255).round().long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, device=images.device).scatter_add_(1, levels, torch.ones_like(levels) * 1.0)
    below = counts.cumsum(1) - counts
    spread = below.gather(1, levels) / (levels.shape[1] - counts.gather(1, levels.amax(1, keepdim=True))).clamp_min(1)
    flat = (levels == levels[:, :1]).all(1, keepdim=True)
    return torch.where(flat, levels / 255, spread).view_as(images)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    step = 2.0 ** (4 - (strength * 4).floor())
    return ((images * 255).round() / step).floor() * step / 255


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    return torch.where(images >= 1 - strength, 1 - images, images)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return images * _factor(strength)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    return _blend(_grey(images).mean((1, 2, 3), keepdim=True), images, _factor(strength))


def _colour(images: Tensor, strength: Tensor) -> Tensor:
    return _blend(_grey(images), images, _factor(strength))


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=images.device) / 13
    flat = F.pad(images.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    return _blend(F.conv2d(flat, kernel[None, None]).view_as(images), images, _factor(strength))


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    angle = math.radians(30) * _signed(strength)
    return _warped(images, angle.cos(), -angle.sin(), 0 * angle, angle.sin(), angle.cos(), 0 * angle)


def _shear_x(images: Tensor, strength: Tensor) -> Tensor:
    shear = 0.3 * _signed(strength)
    return _warped(images, 1 + 0 * shear, shear, 0 * shear, 0 * shear, 1 + 0 * shear, 0 * shear)


def _shear_y(images: Tensor, strength: Tensor) -> Tensor:
    shear = 0.3 * _signed(strength)
    return _warped(images, 1 + 0 * shear, 0 * shear, 0 * shear, shear, 1 + 0 * shear, 0 * shear)


def _translate_x(images: Tensor, strength: Tensor) -> Tensor:
    shift = 2 * 0.3 * _signed(strength)  # a side is 2 units of the grid
    return _warped(images, 1 + 0 * shift, 0 * shift, shift, 0 * shift, 1 + 0 * shift, 0 * shift)


def _translate_y(images: Tensor, strength: Tensor) -> Tensor:
    shift = 2 * 0.3 * _signed(strength)
    return _warped(images, 1 + 0 * shift, 0 * shift, 0 * shift, 0 * shift, 1 + 0 * shift, shift)


_OPERATIONS: tuple[Operation, ...] = (
    _identity,
    _auto_contrast,
    _equalize,
    _posterize,
    _solarize,
    _brightness,
    _contrast,
    _colour,
    _sharpness,
    _rotate,
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
)


def _resized_crops(images: Tensor) -> Tensor:
    """A random part of each image at the size of the whole."""
    shape = (len(images), 1, 1, 1)
    area = _uniform(images, shape, *_CROP)
    stretch = _uniform(images, shape, math.log(_RATIO[0]), math.log(_RATIO[1])).exp().sqrt()
    wide, high = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    right, down = ((1 - part) * _uniform(images, shape, -1, 1) for part in (wide, high))
    return _warped(images, wide, 0 * wide, right, 0 * wide, high, down)


def _jittered(images: Tensor) -> Tensor:
    """Brightness, contrast and, of three channels, saturation and hue; most images."""
    shape = (len(images), 1, 1, 1)
    brightness, contrast, saturation = (_uniform(images, shape, 1 - _JITTER, 1 + _JITTER) for _ in range(3))
    changed = (images * brightness).clamp(0, 1)
    changed = _blend(_grey(changed).mean((1, 2, 3), keepdim=True), changed, contrast).clamp(0, 1)
    if images.shape[1] == 3:
        changed = _blend(_grey(changed), changed, saturation).clamp(0, 1)
        changed = _turned_hue(changed, 2 * math.pi * _uniform(images, shape[:2], -_HUE, _HUE))
    return torch.where(_chance(images, _JITTERED), changed, images)


def _turned_hue(images: Tensor, angle: Tensor) -> Tensor:
    """Colours turned about the axis of greys, by an angle (n, 1)."""
    cos, sin = angle.cos()[:, :, None], angle.sin()[:, :, None]
    axis = torch.full((3, 3), 1 / 3, device=images.device)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) / math.sqrt(3)
    turn = cos * torch.eye(3, device=images.device) + sin * across + (1 - cos) * axis
    return (turn @ images.flatten(2)).view_as(images).clamp(0, 1)


def _maybe_grey(images: Tensor) -> Tensor:
    return torch.where(_chance(images, _GREYED), _grey(images), images) if images.shape[1] == 3 else images


def _grey(images: Tensor) -> Tensor:
    """The same grey in every channel; images without three colours are left alone."""
    if images.shape[1] != 3:
        return images
    luma = torch.tensor(_LUMA, device=images.device)[None, :, None, None]
    return (images * luma).sum(1, keepdim=True).expand_as(images)


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return other + factor * (images - other)


def _factor(strength: Tensor) -> Tensor:
    return 0.05 + 0.9 * strength


def _signed(strength: Tensor) -> Tensor:
    return torch.where(torch.rand_like(strength) < 0.5, strength, -strength)


def _warped(images: Tensor, *matrix: Tensor) -> Tensor:
    """Images read at the places that six numbers (n, 1, 1, 1), the rows of a matrix, send each pixel to; else black."""
    theta = torch.cat([each.flatten(1) for each in matrix], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _chance(images: Tensor, probability: float) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device) < probability


def _uniform(images: Tensor, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, device=images.device)
