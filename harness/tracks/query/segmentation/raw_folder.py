"""Data sets in nnU-Net's raw format: `imagesTr/<case>_0000.nii.gz`, `labelsTr/<case>.nii.gz`, `dataset.json`.

As in nnActive, volumes of different spacings are resampled to the target spacing of nnU-Net's 3d_fullres, so that the
coordinates of patches are voxels of that spacing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.spec.query import RawFolder
from harness.storage import content_id, file_id, read_json
from harness.tracks.query.segmentation.cases import Shape, count_labels

if TYPE_CHECKING:
    import numpy as np

_TOLERANCE = 1e-3  # of spacings and origins in mm, and of directions: headers hold rounded numbers
_LARGEST = 1e12  # intensity: the squares of larger ones, summed over a set, are infinite in single precision
_RESAMPLING = "nnunet-3d-fullres"


@dataclass(frozen=True)
class _CaseFiles:
    """The files of a case."""

    images: tuple[Path, ...]
    """One file a channel."""
    label: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return (*self.images, self.label)


@dataclass(frozen=True)
class _Grid:
    """Voxels and their place in space, (z, y, x)."""

    shape: Shape
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    """As SimpleITK gives it: 3 x 3 cosines between the axes of the voxels and of the patient."""


class RawFolderCases:
    """See `harness.tracks.query.segmentation.cases.Cases`.

    Every file is read once, when the set is opened, and checked; labels then lie in `scratch`, images are read again
    when they are asked for.
    """

    def __init__(self, dataset: RawFolder, folder: Path, pinned: Path | None, scratch: Path) -> None:
        header = _Header.read(folder / "dataset.json")
        self.channels, self.classes, self.file_ending = header.channels, header.classes, header.file_ending
        self._scratch = scratch
        self._files = _find_cases(folder, header)
        self.pool, self.held_out = _split(dataset, folder, pinned, self._files)
        self._grids = {name: _checked_grid(self._files[name]) for name in (*self.pool, *self.held_out)}
        for part, names in (("pool", self.pool), ("held-out part", self.held_out)):
            if not names:
                raise UsageError(f"{folder} leaves the {part} without any case; give more cases.")
        self.spacing = _target_spacing([self._grids[name] for name in self.pool])
        counts = {name: self._open(name) for name in self._grids}
        self.counts: Mapping[str, np.ndarray] = counts
        self.shapes: Mapping[str, Shape] = {name: tuple(self.labels(name).shape) for name in self._grids}
        contents = {name: [file_id(path) for path in self._files[name].all] for name in self._grids}
        self.identity = content_id([_RESAMPLING, self.pool, self.held_out, self.classes, self.channels, contents])

    def image(self, name: str) -> np.ndarray:
        import numpy as np

        image = np.stack([_voxels(path).astype(np.float32) for path in self._files[name].images])
        return self._resampled(image, name, labels=False)

    def labels(self, name: str) -> np.ndarray:
        import numpy as np

        labels: np.ndarray = np.load(self._label_path(name), mmap_mode="r", allow_pickle=False)
        return labels

    def _open(self, name: str) -> np.ndarray:
        """Read a case, check its voxels, keep its labels, and count them."""
        import numpy as np

        files = self._files[name]
        for path in files.all:
            voxels = _stored(path)
            if not np.isfinite(voxels).all():
                raise UsageError(f"{path} has voxels that are NaN or infinite; repair the file or leave the case out.")
            if (largest := max(float(voxels.max(initial=0)), -float(voxels.min(initial=0)))) > _LARGEST:
                raise UsageError(
                    f"{path} has voxels as large as {largest:.3g}, whose deviation cannot be computed; they may be at most "
                    f"{_LARGEST:g}, so repair the file, scale all images, or leave the case out."
                )
        labels = _label_map(files.label, len(self.classes))
        labels = self._resampled(labels[None], name, labels=True)[0]
        np.save(self._label_path(name), labels, allow_pickle=False)
        return count_labels(labels, len(self.classes))

    def _resampled(self, array: np.ndarray, name: str, *, labels: bool) -> np.ndarray:
        spacing = self._grids[name].spacing
        if _close(spacing, self.spacing):
            return array
        from harness.tracks.query.segmentation.plans import resampled

        return resampled(array, spacing, self.spacing, labels=labels)

    def _label_path(self, name: str) -> Path:
        return self._scratch / f"{name}.known.npy"


@dataclass(frozen=True)
class _Header:
    """What is used of `dataset.json`."""

    channels: tuple[str, ...]
    classes: tuple[str, ...]
    file_ending: str

    @classmethod
    def read(cls, path: Path) -> _Header:
        if not path.is_file():
            raise UsageError(
                f"{path.parent} has no dataset.json; give the folder of a data set in nnU-Net's raw format."
            )
        content = read_json(path)
        if isinstance(content, dict) and "modality" in content and "channel_names" not in content:
            raise UsageError(
                f"{path} is in the style of nnU-Net 1 and the Medical Segmentation Decathlon (`modality`, and `labels` "
                "from number to name); convert the data set with nnUNetv2_convert_MSD_dataset."
            )
        for field, kind in (("channel_names", dict), ("labels", dict), ("file_ending", str)):
            if not isinstance(content, dict) or not isinstance(content.get(field), kind):
                raise UsageError(f"{path} has no `{field}`; complete it as nnU-Net's raw format asks.")
        labels: Mapping[str, Any] = content["labels"]
        _check_numbers(labels, path)
        if sorted(labels.values()) != list(range(len(labels))) or len(labels) < 2 or labels.get("background") != 0:
            raise UsageError(f"{path}: `labels` must be `background` = 0, then 1, 2, ... without a gap, not {labels}.")
        if "ignore" in labels:
            raise UsageError(f"{path}: the pool must be labelled in full; remove the label `ignore`.")
        channels: Mapping[str, Any] = content["channel_names"]
        numbers = [str(number) for number in range(len(channels))]
        if not channels or set(channels) != set(numbers):
            raise UsageError(
                f'{path}: `channel_names` must name the channels "0", "1", ..., not {", ".join(channels)}.'
            )
        if not re.fullmatch(r"(\.[A-Za-z0-9]+)+", content["file_ending"]):
            raise UsageError(
                f"{path}: `file_ending` must be one such as .nii.gz, beginning with a dot, not {content['file_ending']!r}."
            )
        classes = tuple(sorted(labels, key=lambda name: int(labels[name])))
        return cls(tuple(str(channels[number]) for number in numbers), classes, content["file_ending"])


def _check_numbers(labels: Mapping[str, Any], path: Path) -> None:
    """Raises UsageError that says what else than one integer the labels are."""
    if labels and all(name.isdecimal() and isinstance(value, str) for name, value in labels.items()):
        raise UsageError(
            f"{path}: `labels` goes from number to name, as in nnU-Net 1; write it from name to number, such as "
            '{"background": 0, "tumour": 1}.'
        )
    for name, value in labels.items():
        if isinstance(value, list):
            raise UsageError(
                f"{path}: the label {name!r} is a region of {value}, which is not supported; give one integer."
            )
        if isinstance(value, str) and value.strip().isdecimal():
            raise UsageError(f"{path}: the label {name!r} is the text {value!r}; write the number without quotes.")
        if type(value) is not int:
            raise UsageError(f"{path}: the label {name!r} is {value!r}; give it one integer.")


def _find_cases(folder: Path, header: _Header) -> dict[str, _CaseFiles]:
    """All cases of `imagesTr` and `imagesVal` by name. Raises UsageError for one without an image or a label."""
    found: dict[str, _CaseFiles] = {}
    ending = header.file_ending
    for part in ("Tr", "Val"):
        images, labels = folder / f"images{part}", folder / f"labels{part}"
        if part == "Val" and not images.is_dir():
            continue
        numbered = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
        matches = [match for file in _shown(images) if (match := numbered.fullmatch(file))]
        names = {match[1] for match in matches}
        names |= {file.removesuffix(ending) for file in _shown(labels) if file.endswith(ending)}
        if not names:
            raise UsageError(f"{images} has no file <case>_0000{ending}; check the folder and `file_ending`.")
        for match in matches:
            if int(match[2]) >= len(header.channels):
                raise UsageError(
                    f"{images / match[0]} is channel {int(match[2])} of {match[1]}, but dataset.json names "
                    f"{len(header.channels)} in `channel_names`; name it there, or remove the file."
                )
        for name in sorted(names):
            if name in found:
                raise UsageError(f"{images}: the case {name} is in imagesTr as well; it must be in one of the two.")
            channels = tuple(images / f"{name}_{number:04d}{ending}" for number in range(len(header.channels)))
            found[name] = _CaseFiles(channels, labels / f"{name}{ending}")
            for path in found[name].all:
                if not path.is_file():
                    raise UsageError(f"{path} is missing; the case {name} needs it.")
    return found


def _shown(folder: Path) -> list[str]:
    """Names of files but hidden ones, such as the `._case.nii.gz` that macOS lays beside a file. None without a folder."""
    return sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))


def _split(
    dataset: RawFolder, folder: Path, pinned: Path | None, files: Mapping[str, _CaseFiles]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pool and held-out cases, sorted."""
    import numpy as np

    if pinned is not None:
        return _pinned_split(pinned, folder, files)
    held = {name for name, of in files.items() if of.label.parent.name == "labelsVal"}
    if not held:
        separator = dataset.group_separator
        group = {name: name.split(separator)[0] if separator else name for name in files}
        groups = sorted(set(group.values()))
        count = max(1, int(dataset.validation_share * len(groups)))
        drawn = np.random.default_rng(dataset.split_seed).permutation(len(groups))[:count]
        chosen = {groups[i] for i in drawn}
        held = {name for name in files if group[name] in chosen}
    return tuple(sorted(set(files) - held)), tuple(sorted(held))


def _pinned_split(
    pinned: Path, folder: Path, files: Mapping[str, _CaseFiles]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    content = read_json(pinned)
    try:
        pool, held = (list(map(str, content[part])) for part in ("pool", "validation"))
    except (KeyError, TypeError) as error:
        raise UsageError(f"{pinned} must list the names of cases in `pool` and `validation`.") from error
    named = [*pool, *held]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise UsageError(f"{pinned} lists the case {twice[0]} twice; a case is in one part only.")
    if absent := sorted(set(named) - set(files)):
        raise UsageError(f"{pinned} lists the case {absent[0]}, which {folder} does not have.")
    return tuple(sorted(pool)), tuple(sorted(held))


def _checked_grid(files: _CaseFiles) -> _Grid:
    """The grid that image and label of a case share, from their headers. Raises UsageError if they do not."""
    first = _grid(files.images[0])
    for path in files.all[1:]:
        other = _grid(path)
        if other.shape != first.shape:
            raise UsageError(f"{path} has shape {other.shape}, {files.images[0]} has {first.shape}; they must agree.")
        for what, here, there in (("spacing", other.spacing, first.spacing), ("origin", other.origin, first.origin)):
            if not _close(here, there):
                raise UsageError(f"{path} has {what} {here}, {files.images[0]} has {there}; they must agree.")
        if not _close(other.direction, first.direction):
            turned, straight = ([round(cosine, 3) + 0.0 for cosine in each.direction] for each in (other, first))
            raise UsageError(
                f"{path} is oriented otherwise than {files.images[0]} (direction {turned}, there {straight}), so that its "
                "voxels are those of other places; resample it to the grid of the image."
            )
    return first


def _grid(path: Path) -> _Grid:
    import SimpleITK

    reader: Any = SimpleITK.ImageFileReader()  # type: ignore[no-untyped-call]
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be read as an image; is it damaged, or of another format?") from error
    if reader.GetDimension() != 3:
        raise UsageError(f"{path} has {reader.GetDimension()} axes; a volume of three is needed.")
    if reader.GetNumberOfComponents() != 1:
        raise UsageError(
            f"{path} has {reader.GetNumberOfComponents()} values a voxel, such as the colours of an RGB image; a channel is "
            "a file of its own, with one value."
        )
    shape, spacing, origin = reader.GetSize()[::-1], reader.GetSpacing()[::-1], reader.GetOrigin()[::-1]
    return _Grid(
        tuple(map(int, shape)),
        tuple(map(float, spacing)),
        tuple(map(float, origin)),
        tuple(map(float, reader.GetDirection())),
    )


def _voxels(path: Path) -> np.ndarray:
    import SimpleITK

    try:
        array: np.ndarray = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be read as an image; is it damaged, or of another format?") from error
    return array


def _stored(path: Path) -> np.ndarray:
    """The voxels as they are in the file, in any order of axes.

    SimpleITK, and so nnU-Net, reads NaN in NIfTI files, and what is missing at the end of a cut file, as 0.
    """
    import zlib

    import numpy as np

    if not path.name.endswith((".nii", ".nii.gz")):
        return _voxels(path)
    import nibabel

    try:
        return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
    except (EOFError, OSError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise UsageError(f"{path} cannot be read to its end; is it damaged?") from error


def _label_map(path: Path, classes: int) -> np.ndarray:
    import numpy as np

    labels = _voxels(path)
    values = np.unique(labels)
    outside = values[~np.isin(values, np.arange(classes))]
    if outside.size:
        raise UsageError(f"{path} has the label {outside[0].item()}; dataset.json knows the labels 0 to {classes - 1}.")
    return labels.astype(np.int16)


def _target_spacing(grids: Sequence[_Grid]) -> tuple[float, ...]:
    """The spacing of all, or else that which nnU-Net plans."""
    if all(_close(grid.spacing, grids[0].spacing) for grid in grids):
        return grids[0].spacing
    from harness.tracks.query.segmentation.plans import target_spacing

    return target_spacing([grid.spacing for grid in grids], [grid.shape for grid in grids])


def _close(ones: Sequence[float], others: Sequence[float]) -> bool:
    return len(ones) == len(others) and all(abs(a - b) <= _TOLERANCE for a, b in zip(ones, others, strict=True))
