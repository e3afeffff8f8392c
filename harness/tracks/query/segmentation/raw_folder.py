"""Data sets in nnU-Net's raw format: `imagesTr/<case>_0000.nii.gz`, `labelsTr/<case>.nii.gz`, `dataset.json`.

Images may be flat, and coloured. As in nnActive, volumes of different spacings are resampled to the target spacing of nnU-Net's 3d_fullres, so that the
coordinates of patches are voxels of that spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError
from harness.spec.query import RawFolder
from harness.storage import content_id, file_id, read_json
from harness.tracks.query.segmentation.cases import Shape, count_labels
from harness.tracks.query.segmentation.raw_files import CaseFiles, find_cases
from harness.tracks.query.segmentation.raw_header import Header
from harness.tracks.query.segmentation.raw_images import (
    VoxelGrid,
    check_voxels,
    checked_grid,
    close,
    read_image,
    read_label,
)

if TYPE_CHECKING:
    import numpy as np

_RESAMPLING = "nnunet-3d-fullres"


class RawFolderCases:
    """See `harness.tracks.query.segmentation.cases.Cases`.

    Every file is read once, when the set is opened, and checked; labels then lie in `scratch`, images are read again
    when they are asked for.
    """

    def __init__(self, dataset: RawFolder, folder: Path, pinned: Path | None, scratch: Path) -> None:
        header = Header.read(folder / "dataset.json")
        self.channels, self.file_ending, self._labels = header.channels, header.file_ending, header.labels
        self.classes, self.regions = header.labels.classes, header.labels.regions
        self._scratch = scratch
        self._files = find_cases(folder, header)
        self.pool, self.held_out = _split(dataset, folder, pinned, self._files)
        for part, names in (("pool", self.pool), ("held-out part", self.held_out)):
            if not names:
                raise UsageError(f"{folder} leaves the {part} without any case; give more cases.")
        self._grids = {
            name: checked_grid(name, self._files[name], self.channels) for name in (*self.pool, *self.held_out)
        }
        self._axes = _common_axes(self._grids, self._files)
        self.spacing = _target_spacing([self._grids[name] for name in self.pool])
        counts = {name: self._open(name) for name in self._grids}
        self.counts: Mapping[str, np.ndarray] = counts
        self.shapes: Mapping[str, Shape] = {name: tuple(self.labels(name).shape) for name in self._grids}
        contents = {name: [file_id(path) for path in self._files[name].all] for name in self._grids}
        self.contents = content_id({name: contents[name][:-1] for name in self.pool})
        meaning = [self.classes, self.regions, sorted(self._labels.numbers.items())]
        self.identity = content_id([_RESAMPLING, self.pool, self.held_out, meaning, self.channels, contents])

    def image(self, name: str) -> np.ndarray:
        image = read_image(self._files[name], self._axes)
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
            check_voxels(path)
        labels = read_label(files.label, self._axes, self._labels)
        labels = self._resampled(labels[None], name, labels=True)[0]
        np.save(self._label_path(name), labels, allow_pickle=False)
        return count_labels(labels, len(self.classes))

    def _resampled(self, array: np.ndarray, name: str, *, labels: bool) -> np.ndarray:
        spacing = self._grids[name].spacing
        if close(spacing, self.spacing):
            return array
        from harness.tracks.query.segmentation.plans import resampled

        return resampled(array, spacing, self.spacing, labels=labels)

    def _label_path(self, name: str) -> Path:
        return self._scratch / f"{name}.known.npy"


def _split(
    dataset: RawFolder, folder: Path, pinned: Path | None, files: Mapping[str, CaseFiles]
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
    pinned: Path, folder: Path, files: Mapping[str, CaseFiles]
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


def _common_axes(grids: Mapping[str, VoxelGrid], files: Mapping[str, CaseFiles]) -> int:
    """2 of flat images, 3 of volumes. Raises UsageError for a set that has both."""
    first, *others = grids
    for name in others:
        axes, expected = len(grids[name].shape), len(grids[first].shape)
        if axes != expected:
            raise UsageError(
                f"{files[name].images[0]} has {axes} axes, {files[first].images[0]} has {expected}; a set is of volumes, or "
                "of flat images."
            )
    return len(grids[first].shape)


def _target_spacing(grids: Sequence[VoxelGrid]) -> tuple[float, ...]:
    """The spacing of all, or else that which nnU-Net plans."""
    if all(close(grid.spacing, grids[0].spacing) for grid in grids):
        return grids[0].spacing
    from harness.tracks.query.segmentation.plans import target_spacing

    return target_spacing([grid.spacing for grid in grids], [grid.shape for grid in grids])
