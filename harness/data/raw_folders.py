"""Volumes of any tree as a folder in nnU-Net's raw format: `imagesTr`, `labelsTr`, `dataset.json`.

Files that are right as they are get copied byte by byte. Others are written anew: frames of four axes, differences of
two images, label values that have gaps.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from harness.data.readers.volumes import Case, ChannelFile, find_cases, read_channel, read_volume, toolkit
from harness.spec.errors import UsageError
from harness.spec.readers import VolumesReader
from harness.storage import IntegrityError, replacing_folder, write_json

_ENDING = ".nii.gz"


def write_raw_folder(
    reader: VolumesReader, folder: Path, names: Collection[str], target: Path, tick: Callable[[int], None]
) -> None:
    """Lay the cases `names` of the tree in `folder` into the new folder `target`.

    Raises IntegrityError for a volume that cannot be read, a label value that no class has, or images and labels of
    different shapes; nothing is then left behind.
    """
    cases = [case for case in find_cases(reader, folder) if case.name in set(names)]
    ending = _common_ending(cases)
    with replacing_folder(target) as new:
        for part in ("imagesTr", "labelsTr"):
            (new / part).mkdir()
        for number, case in enumerate(cases):
            _write_case(case, reader, new, ending)
            tick(number + 1)
        write_json(new / "dataset.json", _header(reader, len(cases), ending))


def raw_bytes(reader: VolumesReader, folder: Path, names: Collection[str]) -> int:
    """About how large the folder becomes: as large as the files that are read for it."""
    cases = [case for case in find_cases(reader, folder) if case.name in set(names)]
    return sum(path.stat().st_size for case in cases for path in (case.label, *(c.path for c in case.channels)))


def _header(reader: VolumesReader, cases: int, ending: str) -> dict[str, Any]:
    labels = {"background": 0, **{name: number + 1 for number, name in enumerate(reader.labels)}}
    channels = {str(number): name for number, name in enumerate(reader.channels)}
    return {"channel_names": channels, "labels": labels, "numTraining": cases, "file_ending": ending}


def _common_ending(cases: list[Case]) -> str:
    """The ending that all files share, which spares writing them anew; else NIfTI."""
    files = [path for case in cases for path in (case.label, *(channel.path for channel in case.channels))]
    for ending in (_ENDING, ".nii", ".mha", ".nrrd"):
        if all(path.name.endswith(ending) for path in files):
            return ending
    return _ENDING


def _write_case(case: Case, reader: VolumesReader, new: Path, ending: str) -> None:
    sizes = set()
    for number, channel in enumerate(case.channels):
        target = new / "imagesTr" / f"{case.name}_{number:04d}{ending}"
        image = read_channel(channel)
        sizes.add(tuple(image.GetSize()))
        _keep(channel, image, target, ending)
    label = read_volume(case.label)
    sizes.add(tuple(label.GetSize()))
    if len(sizes) > 1:
        raise IntegrityError(f"image and label of the case {case.name} have different shapes: {sorted(sizes)}.")
    _write_label(case.label, label, reader, new / "labelsTr" / f"{case.name}{ending}", ending)


def _keep(channel: ChannelFile, image: Any, target: Path, ending: str) -> None:
    """Copy the file if it holds this very image, else write it."""
    whole = channel.minus is None and channel.frame is None
    if whole and channel.path.name.endswith(ending):
        shutil.copyfile(channel.path, target)
    else:
        _write(image, target)


def _write_label(path: Path, label: Any, reader: VolumesReader, target: Path, ending: str) -> None:
    import numpy as np

    sitk = toolkit()
    classes = {0: 0, **{value: n + 1 for n, values in enumerate(reader.labels.values()) for value in values}}
    voxels = sitk.GetArrayFromImage(label)
    found = np.unique(voxels)
    if stray := [value for value in found.tolist() if value not in classes]:
        raise IntegrityError(f"{path} has the label {stray[0]}, which the manifest does not name.")
    if path.name.endswith(ending) and all(classes[value] == value for value in found.tolist()):
        shutil.copyfile(path, target)
        return
    numbers = np.array([classes[value] for value in found.tolist()], dtype=np.uint8)
    renamed = sitk.GetImageFromArray(numbers[np.searchsorted(found, voxels)])
    renamed.CopyInformation(label)
    _write(renamed, target)


def _write(image: Any, target: Path) -> None:
    try:
        toolkit().WriteImage(image, str(target), useCompression=True)
    except RuntimeError as error:
        raise UsageError(f"{target} could not be written: {error}; is the disk full?") from error
