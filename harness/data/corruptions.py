"""The fifteen common corruptions, adapted to grey 28x28 images.

After Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. Each has one continuous strength: 0 leaves the image as it is, more is worse.
The random pattern of an image (noise, flakes, angle) depends on (seed, corruption, image id) only, so it is
the same in any batch and order, and at all strengths: a higher severity is more of the same.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float64]  # one image, (height, width), 0..1
Filter = Callable[[Plane, float, np.random.Generator], Plane]


def corrupt(images: Images, name: str, strength: float, seed: int, ids: npt.NDArray[np.int64]) -> Images:
    """Corrupt images (n, 28, 28) of 0..255; `ids` (n,) are the lasting identities of the images.

    Returns:
        Corrupted images (n, 28, 28).
    """
    if name not in _FILTERS:
        raise ValueError(f"Unknown corruption {name!r}; known are {', '.join(CORRUPTIONS)}.")
    if strength < 0:
        raise ValueError(f"The strength of {name} must not be negative, got {strength}.")
    corrupted = np.empty_like(images)
    for position, (image, identity) in enumerate(zip(images, ids, strict=True)):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), int(identity)])
        changed = _FILTERS[name](image / 255.0, strength, rng)
        corrupted[position] = np.rint(np.clip(changed, 0.0, 1.0) * 255.0)
    return corrupted


def _brightness(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: added light, as a share of white."""
    return image + strength


def _contrast(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: share of the contrast around the image mean that is lost (1 = flat)."""
    mean = float(image.mean())
    return mean + (image - mean) * max(0.0, 1.0 - strength)


def _defocus_blur(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: radius of the disk, pixels."""
    rows, columns = _offsets(strength)
    return _convolve(image, np.clip(strength + 0.5 - np.hypot(rows, columns), 0.0, 1.0))


def _elastic_transform(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: root mean square displacement along each axis, pixels; correlated over about 3 pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal((2, *image.shape)), sigma=(0, 3, 3), mode="wrap")
    return _displace(image, strength * field / field.std())


def _fog(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: weight of the fog against the image."""
    return (image + strength * _plasma(image.shape, rng)) / (1.0 + strength)


def _frost(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: opacity of the ice. Bright ridges of cloud noise stand in for photographs of frost."""
    ridges = [(1.0 - np.abs(2.0 * _plasma(image.shape, rng) - 1.0)) ** 4 for _ in range(2)]
    return image * max(0.0, 1.0 - 0.5 * strength) + strength * np.maximum(*ridges)


def _gaussian_noise(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: standard deviation, as a share of white."""
    return image + strength * rng.standard_normal(image.shape)


def _glass_blur(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: how far light may stray in uneven glass, pixels; slightly blurred before and after."""
    from scipy.ndimage import gaussian_filter

    blur = 0.15 * strength
    strayed = _displace(gaussian_filter(image, blur), strength * rng.uniform(-1, 1, (2, *image.shape)))
    return np.asarray(gaussian_filter(strayed, blur), dtype=np.float64)


def _impulse_noise(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: share of the pixels replaced by pure black or white."""
    hit = rng.random(image.shape) < strength
    return np.where(hit, rng.random(image.shape) < 0.5, image)


def _jpeg_compression(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: coarseness of the quantisation, in multiples of JPEG quality 50.

    JPEG itself ends at a coarseness of 50 (quality 1), which white on black survives: beyond, the image is
    coded that much darker and brightened again, which is the same as coarser steps.
    """
    from PIL import Image

    quality = round(float(np.clip(50.0 / max(strength, 0.5), 1.0, 100.0)))
    darker = max(1.0, strength / 50.0)
    stream = io.BytesIO()
    Image.fromarray(np.rint(image * 255.0 / darker).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), dtype=np.float64) / 255.0 * darker


def _motion_blur(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: length of the movement, pixels, in a random direction."""
    return _convolve(image, _line(strength, rng.uniform(0, np.pi)))


def _pixelate(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: side of the coarse pixels, in pixels of the image; whole numbers are not needed."""
    rows, columns = (_coarse(length, max(1.0, strength)) for length in image.shape)
    return rows @ image @ columns.T


def _shot_noise(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: one over the mean number of photons that a white pixel catches."""
    if strength == 0:
        return image
    return np.asarray(rng.poisson(image / strength) * strength, dtype=np.float64)


def _snow(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: brightness of the falling flakes, which also veil the image."""
    flakes = rng.random(image.shape) * (rng.random(image.shape) < 0.12)
    streaks = _convolve(flakes, _line(3.0, rng.uniform(0.25, 0.75) * np.pi))
    return image * max(0.0, 1.0 - 0.4 * strength) + 4.0 * strength * streaks


def _zoom_blur(image: Plane, strength: float, rng: np.random.Generator) -> Plane:
    """Strength: zoom during the exposure (0.5 = from 1 to 1.5 times)."""
    grid = np.indices(image.shape, dtype=np.float64)
    centre = (np.array(image.shape).reshape(2, 1, 1) - 1) / 2
    factors = np.linspace(1.0, 1.0 + strength, 9)
    zoomed = [_displace(image, (grid - centre) * (1.0 / zoom - 1.0)) for zoom in factors]
    return np.asarray(np.mean(zoomed, axis=0), dtype=np.float64)


_FILTERS: dict[str, Filter] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "defocus_blur": _defocus_blur,
    "elastic_transform": _elastic_transform,
    "fog": _fog,
    "frost": _frost,
    "gaussian_noise": _gaussian_noise,
    "glass_blur": _glass_blur,
    "impulse_noise": _impulse_noise,
    "jpeg_compression": _jpeg_compression,
    "motion_blur": _motion_blur,
    "pixelate": _pixelate,
    "shot_noise": _shot_noise,
    "snow": _snow,
    "zoom_blur": _zoom_blur,
}
CORRUPTIONS: tuple[str, ...] = tuple(_FILTERS)


def _displace(image: Plane, field: Plane) -> Plane:
    """Pixel (i, j) shows the image at (i, j) + field[:, i, j]; field (2, height, width) in pixels."""
    from scipy.ndimage import map_coordinates

    places = np.indices(image.shape, dtype=np.float64) + field
    return np.asarray(map_coordinates(image, places, order=1, mode="nearest"), dtype=np.float64)


def _coarse(length: int, side: float) -> Plane:
    """Matrix (length, length) that gives each pixel the mean over the cell of `side` pixels it lies in."""
    pixels = np.arange(length)
    start = np.floor((pixels + 0.5) / side)[:, None] * side
    overlap = np.minimum(pixels + 1, start + side) - np.maximum(pixels, start)
    weights = np.clip(overlap, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def _convolve(image: Plane, kernel: Plane) -> Plane:
    from scipy.ndimage import convolve

    return np.asarray(convolve(image, kernel / kernel.sum(), mode="nearest"), dtype=np.float64)


def _offsets(reach: float) -> Plane:
    """Row and column offsets (2, side, side) of a kernel that reaches `reach` pixels from its centre."""
    half = int(np.ceil(reach)) + 1
    return np.indices((2 * half + 1, 2 * half + 1), dtype=np.float64) - half


def _line(length: float, angle: float) -> Plane:
    """Kernel of a line one pixel wide, with soft edges."""
    rows, columns = _offsets(length / 2)
    along = np.clip(columns * np.cos(angle) + rows * np.sin(angle), -length / 2, length / 2)
    distance = np.hypot(columns - along * np.cos(angle), rows - along * np.sin(angle))
    return np.asarray(np.clip(1.0 - distance, 0.0, 1.0), dtype=np.float64)


def _plasma(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Cloud-like noise of 0..1: white noise whose amplitude falls as frequency to the power -1.5."""
    spectrum = np.fft.fft2(rng.standard_normal(shape))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), indexing="ij"))
    frequency[0, 0] = np.inf
    cloud = np.fft.ifft2(spectrum * frequency**-1.5).real
    return np.asarray((cloud - cloud.min()) / (cloud.max() - cloud.min()), dtype=np.float64)
