"""Random changes of images that keep their class, on whole batches; drawn from torch's global generator.

Steps that change colours or read between pixels work on 8-bit levels, 0 black and 255 white, as they are published for
8-bit images: each gives whole levels again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.spec.augmentation import (
    Affine,
    Blur,
    Cutout,
    Flip,
    Grey,
    Jitter,
    RandAugment,
    ResizedCrop,
    Rotation,
    Shift,
    Step,
    Steps,
)
from harness.tracks.query.classification import colours, warps
from harness.tracks.query.classification.draws import chance, uniform
from harness.tracks.query.classification.randaugment import rand_augmented

if TYPE_CHECKING:
    from harness.spec.query import NamedAugmentation
    from harness.tracks.query.classification.data import Images

_SHIFT, _SMALL_SHIFT = 1 / 8, 1 / 14  # of a side: 4 pixels of 32, and 2 of 28 for digits, which are centred already


def steps_of(augmentation: NamedAugmentation | Steps, mirrored: bool) -> Steps:
    """The steps that a name stands for; listed ones as they are. `mirrored`: whether a mirror image has its class.

    "basic" shifts and flips; "randaugment" is that with RandAugment as FixMatch uses it, and Cutout.
    """
    if not isinstance(augmentation, str):
        return augmentation
    shift = Shift(kind="shift", share=_SHIFT if mirrored else _SMALL_SHIFT)
    basic: Steps = (shift, Flip(kind="flip")) if mirrored else (shift,)
    strong = (RandAugment(kind="randaugment", n=2, m=10, probability=0.5), Cutout(kind="cutout", side=0.5))
    return {"none": (), "basic": basic, "randaugment": (*basic, *strong)}[augmentation]


def contrastive_view(mirrored: bool) -> Steps:
    """A view for SimCLR (Chen et al. 2020) where a protocol lists none. No blur, as its authors do for small images."""
    return (
        ResizedCrop(kind="resized-crop", area=(0.2, 1.0)),
        *((Flip(kind="flip"),) if mirrored else ()),
        Jitter(kind="jitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
        Grey(kind="grey", probability=0.2),
    )


class Augmentation:
    """Steps on normalised images of a data set: (n, c, h, w) float32 -> the same shape."""

    def __init__(self, steps: Steps, images: Images, device: str) -> None:
        self._steps = steps
        self._black, white = (
            torch.from_numpy(level[:, None, None]).to(device) for level in (images.black, images.white)
        )
        self._span = (white - self._black).clamp_min(1e-6)

    def __call__(self, inputs: Tensor) -> Tensor:
        if all(_only_moves(step) for step in self._steps):
            return _changed(inputs, self._steps)
        levels = ((inputs - self._black) / self._span * 255).round().clamp(0, 255)
        return self._black + _changed(levels, self._steps) / 255 * self._span


def _only_moves(step: Step) -> bool:
    """Whether a step leaves the values of pixels alone, whatever they mean."""
    return isinstance(step, Flip) or (isinstance(step, Shift) and step.outside == "mirrored")


def _changed(images: Tensor, steps: Steps) -> Tensor:
    for step in steps:
        images = _carried_out(step, images)
    return images


def _carried_out(step: Step, images: Tensor) -> Tensor:
    match step:
        case Flip():
            axis = -1 if step.direction == "horizontal" else -2
            return torch.where(chance(images, 0.5), images.flip(axis), images)
        case Shift():
            return warps.shifted(images, step.share, step.outside)
        case ResizedCrop():
            return warps.resized_crops(images, step.area, step.ratio)
        case Rotation():
            return warps.rotated(images, uniform(images, -step.degrees, step.degrees))
        case Affine():
            return warps.randomly_moved(images, step)
        case Jitter():
            return torch.where(chance(images, step.probability), colours.jittered(images, step), images)
        case Grey():
            return torch.where(chance(images, step.probability), colours.grey(images), images)
        case Blur():
            blurred = colours.blurred(images, uniform(images, *step.sigma), step.width)
            return torch.where(chance(images, step.probability), blurred, images)
        case RandAugment():
            return rand_augmented(images, step)
        case Cutout():
            return colours.cut_out(images, int(step.side * images.shape[3]))
