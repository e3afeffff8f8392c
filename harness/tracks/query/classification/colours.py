"""Operations on the levels of images (n, c, h, w): whole numbers from 0, black, to 255, white, as float32.

With three channels these are red, green and blue; other images have no colours to change. Strengths are (n, 1, 1, 1).
Each operation is that of Pillow on 8-bit images, to the level, except that hues are not rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.spec.augmentation import Jitter
from harness.tracks.query.classification.draws import uniform

_LUMA = (19595.0, 38470.0, 7471.0)  # of red, green and blue in grey (ITU-R 601-2), in 65,536ths
_GREY = 127.0  # of cut-out squares


def grey(images: Tensor) -> Tensor:
    """The same grey in every channel."""
    if images.shape[1] != 3:
        return images
    weights = torch.tensor(_LUMA, device=images.device)[None, :, None, None]
    return (((images * weights).sum(1, keepdim=True) + 32768) / 65536).floor().expand_as(images)


def blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """`other` for a factor of 0, the images for 1, beyond them for more; rounded down."""
    return (other + factor * (images - other)).clamp(0, 255).floor()


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return blend(torch.zeros_like(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = grey(images).double().mean((1, 2, 3), keepdim=True)
    return blend((mean + 0.5).floor().float(), images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    return blend(grey(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Against the image smoothed by 3x3 pixels, of which the middle one counts five times; its border is not smoothed."""
    smooth = images.clone()
    if min(images.shape[2:]) >= 3:
        kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=images.device)
        sums = F.conv2d(images.flatten(0, 1)[:, None], kernel[None, None]).unflatten(0, images.shape[:2])[:, :, 0]
        smooth[:, :, 1:-1, 1:-1] = (sums.round() / 13 + 0.5).floor()
    return blend(smooth, images, factor)


def auto_contrast(images: Tensor) -> Tensor:
    """Each channel stretched so that its darkest level is black and its brightest white."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    scale = torch.full_like(low, 255, dtype=torch.float64) / (high - low).clamp_min(1)
    return torch.where(high > low, (images * scale - low * scale).clamp(0, 255).floor().float(), images)


def equalize(images: Tensor) -> Tensor:
    """Each channel's levels as evenly spread as they can be; left as it is where a 255th of its pixels is none."""
    levels = images.long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    last = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - last) // 255
    below = counts.cumsum(1) - counts
    table = ((step // 2 + below) // step.clamp_min(1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, levels), levels).view_as(images).float()


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Only the first so many of 8 bits."""
    step = 2.0 ** (8 - bits)
    return (images / step).floor() * step


def solarize(images: Tensor, threshold: Tensor | float) -> Tensor:
    """Levels from the threshold on are inverted."""
    return torch.where(images >= threshold, 255 - images, images)


def cut_out(images: Tensor, side: int | Tensor) -> Tensor:
    """A grey square with its upper left corner half a `side` before any place, or at the edge, which covers `side` + 1
    pixels as far as they lie in the image."""
    covered = []
    for length in images.shape[2:]:
        start = (torch.rand(len(images), 1, 1, 1, device=images.device) * length - side / 2).clamp(min=0).floor()
        places = torch.arange(length, device=images.device)
        covered.append((places >= start) & (places <= start + side))
    return torch.where(covered[0].transpose(2, 3) & covered[1], _GREY, images)


def jittered(images: Tensor, step: Jitter) -> Tensor:
    """All four changes, in an order drawn for each image."""
    changes = [
        *((change, uniform(images, max(0.0, 1 - most), 1 + most)) for change, most in (
            (brightness, step.brightness), (contrast, step.contrast), (saturation, step.saturation)
        )),
        (turned_hue, uniform(images, -step.hue, step.hue)),
    ]  # fmt: skip
    order = torch.rand(len(images), len(changes), device=images.device).argsort(dim=1)
    for place in range(len(changes)):
        changed = images.clone()
        for number, (change, strength) in enumerate(changes):
            mine = order[:, place] == number
            if mine.any():
                changed[mine] = change(images[mine], strength[mine])
        images = changed
    return images


def turned_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Another hue of the same saturation and value (the hexcone of HSV); a turn of 1 is none."""
    if images.shape[1] != 3:
        return images
    value, brightest = images.max(dim=1)
    chroma = value - images.amin(dim=1)
    red, green, blue = images.unbind(dim=1)
    apart = torch.stack([green - blue, blue - red, red - green], dim=1) / chroma.clamp_min(1)[:, None]
    sector = apart.gather(1, brightest[:, None])[:, 0] + 2 * brightest  # hue in sixths of a turn
    places = torch.tensor([5.0, 3.0, 1.0], device=images.device)[None, :, None, None]
    along = torch.remainder(places + sector[:, None] + 6 * turns, 6)
    ramp = torch.minimum(along, 4 - along).clamp(0, 1)
    return (value[:, None] - chroma[:, None] * ramp).round()


def blurred(images: Tensor, sigma: Tensor, width: float) -> Tensor:
    """Gaussian blur over an odd number of pixels, `width` of the height; what lies outside is the mirror image."""
    count, channels, height = images.shape[:3]
    half = min(int(width * height) // 2, min(images.shape[2:]) - 1)
    offsets = torch.arange(-half, half + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, 0, 0]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)[:, None]
    flat = F.pad(images.view(1, count * channels, *images.shape[2:]), (half,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=count * channels)
    return F.conv2d(flat, kernel[:, :, None, :], groups=count * channels).view_as(images).round()
