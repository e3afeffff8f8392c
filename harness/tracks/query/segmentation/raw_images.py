"""Reading image and label files of nnU-Net's raw format, and checking that those of a case fit each other.

Volumes and flat images are read by SimpleITK, natural images (PNG, BMP, flat TIFF) as nnU-Net reads them: colours are
channels, a pixel is one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.tracks.query.segmentation.cases import Shape
from harness.tracks.query.segmentation.raw_files import CaseFiles, missing
from harness.tracks.query.segmentation.raw_header import Labels

if TYPE_CHECKING:
    import numpy as np

_TOLERANCE = 1e-3  # of spacings in mm, and of directions: headers hold rounded numbers
_SHIFT = 1e-2  # of origins, in voxels
_LARGEST = 1e12  # intensity: the squares of larger ones, summed over a set, are infinite in single precision
_NATURAL, _PAGES = (".png", ".bmp"), (".tif", ".tiff")
_COLOURS = (3, 4)


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels and their place in space, in array order: (z, y, x), or (y, x)."""

    shape: Shape
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    """As SimpleITK gives it: cosines between the axes of the voxels and of the patient, row by row."""
    channels: int = 1


def checked_grid(name: str, files: CaseFiles, channels: Sequence[str]) -> VoxelGrid:
    """The grid that images and label of a case share, from their headers.

    Raises UsageError if they do not, for a channel too few or too many, and for files that are no images.
    """
    grids = {path: _grid(path) for path in files.all}
    first = grids[files.images[0]]
    for path in files.all[1:]:
        _check_agree(path, grids[path], files.images[0], first)
    if grids[files.label].channels != 1:
        raise UsageError(
            f"{files.label} has {grids[files.label].channels} values a voxel, such as the colours of an RGB image; a label "
            "file has one, the number of the label."
        )
    _check_channels(name, files, [grids[path].channels for path in files.images], channels)
    return first


def check_voxels(path: Path) -> None:
    """Raises UsageError for a file that cannot be read to its end, and for intensities that cannot be trained on."""
    import numpy as np

    voxels = _stored(path)
    if not np.isfinite(voxels).all():
        raise UsageError(f"{path} has voxels that are NaN or infinite; repair the file or leave the case out.")
    if (largest := max(float(voxels.max(initial=0)), -float(voxels.min(initial=0)))) > _LARGEST:
        raise UsageError(
            f"{path} has voxels as large as {largest:.3g}, whose deviation cannot be computed; they may be at most "
            f"{_LARGEST:g}, so repair the file, scale all images, or leave the case out."
        )


def read_image(files: CaseFiles, axes: int) -> np.ndarray:
    """All channels of a case: (channels, *shape) float32."""
    import numpy as np

    arrays = [_channels_first(path, axes) for path in files.images]
    return np.concatenate(arrays).astype(np.float32)


def read_label(path: Path, axes: int, labels: Labels) -> np.ndarray:
    """Classes (*shape) int16, UNLABELLED where the file has a label to be ignored. Raises UsageError for other labels."""
    import numpy as np

    voxels = _channels_first(path, axes)[0]
    values = np.unique(voxels)
    if unknown := [value for value in values.tolist() if value not in labels.numbers]:
        raise UsageError(f"{path} has the label {unknown[0]}; dataset.json knows the labels {_known(labels)}.")
    numbers = np.array([labels.numbers[value] for value in values.tolist()], dtype=np.int16)
    if (numbers == values).all():
        return np.asarray(voxels, dtype=np.int16)
    return np.asarray(numbers[np.searchsorted(values, voxels)])


def close(ones: Sequence[float], others: Sequence[float], tolerance: float = _TOLERANCE) -> bool:
    return len(ones) == len(others) and all(abs(a - b) <= tolerance for a, b in zip(ones, others, strict=True))


def _known(labels: Labels) -> str:
    used = [value for value, number in labels.numbers.items() if number >= 0]
    ignored = [str(value) for value, number in labels.numbers.items() if number < 0]
    return f"0 to {max(used)}" + (f", and {', '.join(ignored)} to be ignored" if ignored else "")


def _check_agree(path: Path, grid: VoxelGrid, other: Path, expected: VoxelGrid) -> None:
    if grid.shape != expected.shape:
        raise UsageError(f"{path} has shape {grid.shape}, {other} has {expected.shape}; they must agree.")
    shift = _SHIFT * min(expected.spacing)
    for what, here, there, tolerance in (
        ("spacing", grid.spacing, expected.spacing, _TOLERANCE),
        ("origin", grid.origin, expected.origin, max(_TOLERANCE, shift)),
    ):
        if not close(here, there, tolerance):
            raise UsageError(f"{path} has {what} {here}, {other} has {there}; they must agree.")
    if not close(grid.direction, expected.direction):
        turned, straight = ([round(cosine, 3) + 0.0 for cosine in each.direction] for each in (grid, expected))
        raise UsageError(
            f"{path} is oriented otherwise than {other} (direction {turned}, there {straight}), so that its "
            "voxels are those of other places; resample it to the grid of the image."
        )


def _check_channels(name: str, files: CaseFiles, found: Sequence[int], named: Sequence[str]) -> None:
    """Whether the files hold as many channels as the header names."""
    if sum(found) == len(named):
        return
    first = files.images[0]
    if max(found) == 1 and first.name.startswith(f"{name}_0000"):
        ending = first.name.removeprefix(f"{name}_0000")
        raise missing(first.with_name(f"{name}_{len(found):04d}{ending}"), name)
    alpha = ", the last of which is the transparency" if max(found) == _COLOURS[1] and _is_natural(first) else ""
    raise UsageError(
        f"{first} holds {max(found)} channels{alpha}, and the case {name} {sum(found)} in all, but dataset.json names "
        f"{len(named)} ({', '.join(named)}) in `channel_names`; name as many, or save the image with as many."
    )


def _grid(path: Path) -> VoxelGrid:
    if _is_natural(path):
        array = _natural(path)
        return VoxelGrid(array.shape[1:], (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), len(array))
    reader = _information(path)
    dimension = reader.GetDimension()
    if dimension not in (2, 3, 4):
        raise UsageError(
            f"{path} has {dimension} axes; an image has two, a volume three, one of several channels four."
        )
    if reader.GetNumberOfComponents() != 1:
        raise UsageError(
            f"{path} has {reader.GetNumberOfComponents()} values a voxel, such as the colours of an RGB image; a channel is "
            "a file of its own, with one value."
        )
    axes = min(dimension, 3)
    size, spacing, origin, direction = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
    return VoxelGrid(
        tuple(map(int, size[:axes][::-1])),
        tuple(map(float, spacing[:axes][::-1])),
        tuple(map(float, origin[:axes][::-1])),
        tuple(float(direction[dimension * row + column]) for row in range(axes) for column in range(axes)),
        int(size[3]) if dimension == 4 else 1,
    )


def _information(path: Path) -> Any:
    import SimpleITK

    reader: Any = SimpleITK.ImageFileReader()  # type: ignore[no-untyped-call]
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    return reader


def _unreadable(path: Path) -> UsageError:
    return UsageError(f"{path} cannot be read as an image; is it damaged, or of another format?")


def _is_natural(path: Path) -> bool:
    """TIFF files may be natural images or volumes."""
    ending = path.suffix.lower()
    return ending in _NATURAL or (ending in _PAGES and _information(path).GetDimension() == 2)


def _natural(path: Path) -> np.ndarray:
    """(channels, y, x) of a picture: one of grey, three of colours, four with transparency."""
    from skimage.io import imread

    try:
        array: np.ndarray = imread(path)
    except (OSError, ValueError, SyntaxError, RuntimeError) as error:
        raise _unreadable(path) from error
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3 or array.shape[-1] not in _COLOURS:
        raise UsageError(
            f"{path} has shape {array.shape}; a picture is grey, in colours, or in colours with transparency."
        )
    return array.transpose(2, 0, 1)


def _channels_first(path: Path, axes: int) -> np.ndarray:
    """(channels, *shape) of a file."""
    if _is_natural(path):
        return _natural(path)
    array = _voxels(path)
    return array[None] if array.ndim == axes else array


def _voxels(path: Path) -> np.ndarray:
    """The voxels of a file that is no picture, in array order, the channels of several first."""
    import SimpleITK

    try:
        array: np.ndarray = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise _unreadable(path) from error
    return array


def _stored(path: Path) -> np.ndarray:
    """The voxels as they are in the file, in any order of axes.

    SimpleITK, and so nnU-Net, reads NaN in NIfTI files, and what is missing at the end of a cut file, as 0.
    """
    import zlib

    import numpy as np

    if not path.name.endswith((".nii", ".nii.gz")):
        return _natural(path) if _is_natural(path) else _voxels(path)
    import nibabel

    try:
        return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
    except (EOFError, OSError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise UsageError(f"{path} cannot be read to its end; is it damaged?") from error
