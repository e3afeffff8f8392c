"""Labelled volumes in any tree of files: nnU-Net's raw format, the Decathlon, a folder a patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.readers.base import Listing, checked
from harness.data.readers.files import filled, library, matches, spelled
from harness.spec.errors import UsageError
from harness.spec.readers import VolumeChannel, VolumesReader
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ChannelFile:
    """Where one channel lies: the file, the file to subtract, the frame of four axes, the type of the difference."""

    path: Path
    minus: Path | None
    frame: int | None
    cast: str | None = None


@dataclass(frozen=True)
class Case:
    """A volume with its label map, by the columns that the pattern found."""

    name: str
    label: Path
    channels: tuple[ChannelFile, ...]
    columns: Mapping[str, str]


def list_samples(reader: VolumesReader, folder: Path) -> Listing:
    """Samples named by case, (z, y, x) or (z, y, x, channels). Columns: the groups of the pattern. Labels are 0."""
    import numpy as np

    cases = find_cases(reader, folder)
    columns = {name: np.array([case.columns[name] for case in cases]) for name in cases[0].columns}

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        return [_voxels(cases[row]) for row in rows]

    listing = Listing([case.name for case in cases], np.zeros(len(cases), dtype=np.int64), columns, read)
    return checked(listing, 1, str(folder))


def find_cases(reader: VolumesReader, folder: Path) -> list[Case]:
    """All cases, sorted by name. Raises UsageError for no case, one found twice, or one without an image."""
    spelling = spelled(folder)
    found = []
    for path, columns in matches(reader.pattern, folder):
        name = filled(reader.case, columns, path)
        channels = tuple(_channel(channel, columns, folder, spelling, name) for channel in reader.channels.values())
        found.append(Case(name, folder / path, channels, columns))
    if not found:
        raise UsageError(f"{folder} has no label file that fits {reader.pattern!r}; check how the set was unpacked.")
    name, count = Counter(case.name for case in found).most_common(1)[0]
    if count > 1 or "/" in "".join(case.name for case in found):
        raise UsageError(f"{folder} gives the case {name!r} {count} times, or names with `/`; mend `case`.")
    return sorted(found, key=lambda case: case.name)


def read_volume(path: Path, frame: int | None = None) -> Any:
    """A SimpleITK image of three axes. Raises IntegrityError for a file that cannot be read, or has other axes."""
    sitk = toolkit()
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise IntegrityError(f"{path} is no readable volume.") from error
    if frame is not None and image.GetDimension() == 4 and frame < image.GetSize()[3]:
        image = image[:, :, :, frame]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise IntegrityError(f"{path} has no three axes{'' if frame is None else f' at frame {frame}'}.")
    return image


def read_channel(channel: ChannelFile) -> Any:
    """A SimpleITK image; a difference is float32 unless the channel casts it. Raises IntegrityError where two volumes have not the same grid."""
    image = read_volume(channel.path, channel.frame)
    if channel.minus is None:
        return image
    sitk = toolkit()
    other = read_volume(channel.minus, channel.frame)
    pixels = sitk.sitkFloat32 if channel.cast is None else sitk.sitkInt16
    try:
        return sitk.Cast(image, pixels) - sitk.Cast(other, pixels)
    except RuntimeError as error:
        raise IntegrityError(f"{channel.path} and {channel.minus} have not the same grid.") from error


def toolkit() -> Any:
    """The module SimpleITK. Raises UsageError where it is not installed."""
    return library("SimpleITK")


def _channel(
    channel: VolumeChannel, columns: Mapping[str, str], folder: Path, spelling: Mapping[str, str], case: str
) -> ChannelFile:
    def place(template: str) -> Path:
        wanted = filled(template, columns, f"the case {case}")
        if wanted.lower() not in spelling:
            raise UsageError(f"{folder / wanted} is missing; the case {case} needs it.")
        return folder / spelling[wanted.lower()]

    return ChannelFile(
        place(channel.path), place(channel.minus) if channel.minus else None, channel.frame, channel.cast
    )


def _voxels(case: Case) -> np.ndarray:
    import numpy as np

    sitk = toolkit()
    channels: list[np.ndarray] = [sitk.GetArrayFromImage(read_channel(channel)) for channel in case.channels]
    if any(channel.shape != channels[0].shape for channel in channels):
        raise IntegrityError(f"the channels of the case {case.name} have different shapes.")
    return channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)
