"""Small volumes cut from the MNI152 brain template that ships inside the `nilearn` package.

The ICBM 152 nonlinear symmetric template, release 2009a (Fonov et al. 2011, "Unbiased average age-appropriate atlases
for pediatric studies", NeuroImage), an average T1 image and maps of grey and
white matter, brought from 1 mm to 2 mm. The files are checked against their SHA-256.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.data.packages import package_bytes, package_folder
from harness.spec.errors import UsageError

Triple = tuple[int, int, int]

CLASSES = ("background", "grey matter", "white matter")
"""Names of the labels 0, 1, 2; the background is cerebrospinal fluid and everything outside of the brain."""
SHAPE = (94, 116, 98)
"""Of the template, (z, y, x): from below, from behind, from the left; voxels of 2 mm. The brain is symmetric: columns from
49 on show hardly anything that those below do not."""
SPACING = (2.0, 2.0, 2.0)
PACKAGE = "nilearn"

_FOLDER = "datasets/data"
_SHA256 = {
    "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz": "eeb8a792a93948c83462305c71db783800e95eb3f6ce35975a4dd0f374f79bff",
    "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz": "9800242e730cec0d4ae97358d232904d09771bb0f10202ea4bf80eee50609b43",
    "mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz": "7c78a23ddd786979edbb50bdada52c86c405cf2986baee5df5791e0200d7ffeb",
}
_FULL_SHAPE = (189, 233, 197)
_HEADER = 352  # bytes before the voxels of these files; the format's usual offset
_WAVES = 4  # cosines that make up a bias field, at most one period over the longest side


@cache
def mni152() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int16]]:
    """The T1 image of the brain, 0 = outside to 255, and its labels: two read-only arrays (z, y, x) of `SHAPE`.

    A voxel's label is the most probable of grey matter, white matter and the rest. Raises UsageError if `nilearn` is
    not installed, IntegrityError if its files are not those that benchmarks were made with.
    """
    t1, grey, white = (_halved(_volume(name)) for name in _SHA256)
    labels = np.argmax([255 - grey - white, grey, white], axis=0).astype(np.int16)
    t1.setflags(write=False)
    labels.setflags(write=False)  # every caller gets the same array
    return t1, labels


def template_volume(
    corner: Triple, shape: Triple, seed: int, bias: float, noise: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """A box of the template as another scan might show it: image and labels, both of this shape.

    The image, with the brightest voxel of the template at 1, is multiplied by a smooth field with a standard deviation
    of `bias` in its logarithm, and gets Gaussian noise of standard deviation `noise` everywhere. Both come from `seed`
    alone. Raises UsageError for a box that is empty or leaves the template, and as `mni152`.
    """
    if any(low < 0 or extent < 1 or low + extent > end for low, extent, end in zip(corner, shape, SHAPE, strict=True)):
        raise UsageError(f"a box of shape {tuple(shape)} at {tuple(corner)} leaves the template of shape {SHAPE}.")
    t1, labels = mni152()
    box = tuple(slice(low, low + extent) for low, extent in zip(corner, shape, strict=True))
    rng = np.random.default_rng(seed)
    field = np.exp(bias * _smooth(shape, rng))
    image = t1[box] / 255 * field + noise * rng.standard_normal(shape)
    return image.astype(np.float32), labels[box]


def folders() -> tuple[Path, ...]:
    """The folder of the installed package that holds the template and its labels; none where it is not installed."""
    folder = package_folder(PACKAGE)
    return () if folder is None else (folder / _FOLDER,)


def _halved(volume: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Means over blocks of 2 x 2 x 2 voxels; the last of an odd number of voxels is left out."""
    shape = [extent for half in SHAPE for extent in (half, 2)]
    means: npt.NDArray[np.float64] = (
        volume[tuple(slice(2 * half) for half in SHAPE)].reshape(shape).mean(axis=(1, 3, 5))
    )
    return means


def _smooth(shape: Triple, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A sum of slow waves through the box, of mean 0 and standard deviation 1."""
    axes = np.meshgrid(*[np.arange(extent) / max(shape) for extent in shape], indexing="ij")
    field = np.zeros(shape)
    for _ in range(_WAVES):
        direction, phase = rng.uniform(-1, 1, 3), rng.uniform(0, 2 * np.pi)
        field += np.cos(2 * np.pi * sum(d * at for d, at in zip(direction, axes, strict=True)) + phase)
    field -= field.mean()
    return field / max(float(field.std()), 1e-12)  # a single voxel has no spread


@cache
def _volume(name: str) -> npt.NDArray[np.uint8]:
    content = package_bytes(PACKAGE, f"{_FOLDER}/{name}", _SHA256[name])
    # The content is known to the byte, so no reader is needed: x runs fastest, one byte a voxel.
    return np.frombuffer(content, dtype=np.uint8, offset=_HEADER).reshape(_FULL_SHAPE)
