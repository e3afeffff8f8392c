"""Which files of a folder in nnU-Net's raw format are a case: `<case>_0000`, `<case>_0001`, ... and a label file."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.spec.errors import UsageError
from harness.tracks.query.segmentation.raw_header import Header


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case."""

    images: tuple[Path, ...]
    """In the order of their channels; a file may hold several."""
    label: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return (*self.images, self.label)


def find_cases(folder: Path, header: Header) -> dict[str, CaseFiles]:
    """All cases of `imagesTr` and `imagesVal` by name. Raises UsageError for one without an image or a label."""
    found: dict[str, CaseFiles] = {}
    for part in ("Tr", "Val"):
        images, labels = folder / f"images{part}", folder / f"labels{part}"
        if part == "Val" and not images.is_dir():
            continue
        cases = _cases(images, labels, header, header.listed if part == "Tr" else None)
        if twice := sorted(set(cases) & set(found)):
            raise UsageError(f"{images}: the case {twice[0]} is in imagesTr as well; it must be in one of the two.")
        found |= cases
    return found


def _cases(images: Path, labels: Path, header: Header, listed: Collection[str] | None) -> dict[str, CaseFiles]:
    ending = header.file_ending
    labelled = {file.removesuffix(ending) for file in _shown(labels) if file.endswith(ending)}
    shown = _shown(images)
    # The Decathlon's images have the names of their labels, which may end in digits too.
    single = {file.removesuffix(ending) for file in shown if file.endswith(ending)} & labelled if header.old else set()
    numbered = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    channels: dict[str, list[int]] = {}
    for file in shown:
        if (match := numbered.fullmatch(file)) and file.removesuffix(ending) not in single:
            channels.setdefault(match[1], []).append(int(match[2]))
    names = listed if listed is not None else {*channels, *labelled}
    if not names:
        raise UsageError(f"{images} has no file <case>_0000{ending}; check the folder and `file_ending`.")
    found = {}
    for name in sorted(names):
        files = [f"{name}{ending}"] if name in single else _files(images, name, channels.get(name, []), header)
        found[name] = CaseFiles(tuple(images / file for file in files), labels / f"{name}{ending}")
        for path in found[name].all:
            if not path.is_file():
                raise missing(path, name)
    return found


def missing(path: Path, case: str) -> UsageError:
    return UsageError(f"{path} is missing; the case {case} needs it.")


def _files(images: Path, name: str, numbers: Collection[int], header: Header) -> list[str]:
    """From 0000 to the last that is there."""
    last, named = max(numbers, default=0), len(header.channels)
    if last >= named:
        raise UsageError(
            f"{images / f'{name}_{last:04d}{header.file_ending}'} is channel {last} of {name}, but dataset.json names "
            f"{named} in `channel_names`; name it there, or remove the file."
        )
    return [f"{name}_{number:04d}{header.file_ending}" for number in range(last + 1)]


def _shown(folder: Path) -> list[str]:
    """Names of files but hidden ones, such as the `._case.nii.gz` that macOS lays beside a file. None without a folder."""
    return sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))
