"""What `dataset.json` of nnU-Net's raw format says: channels, labels, the ending of files, and which cases there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.spec.errors import UsageError
from harness.storage import read_json
from harness.tracks.query.segmentation.cases import UNLABELLED, Region

_IGNORE = "ignore"
_Values = tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """What the values of label files mean."""

    classes: tuple[str, ...]
    """Names of the classes 0, 1, ..., the background first."""
    numbers: Mapping[int, int]
    """Value in files -> class, UNLABELLED for what is to be ignored."""
    regions: tuple[Region, ...] = ()
    """In the order of `dataset.json`; none where every label is a class of its own."""


@dataclass(frozen=True)
class Header:
    """What is used of `dataset.json`."""

    channels: tuple[str, ...]
    labels: Labels
    file_ending: str
    old: bool = False
    """Whether it is that of nnU-Net 1 and the Medical Segmentation Decathlon."""
    listed: tuple[str, ...] | None = None
    """Cases of an old one that lists its training data, which are then all that count."""

    @classmethod
    def read(cls, path: Path) -> Header:
        """Raises UsageError for a file that is missing, or that does not say what is needed."""
        if not path.is_file():
            raise UsageError(
                f"{path.parent} has no dataset.json; give the folder of a data set in nnU-Net's raw format."
            )
        content = read_json(path)
        old = isinstance(content, dict) and "modality" in content and "channel_names" not in content
        if old:
            content = {"file_ending": ".nii.gz", **content, "channel_names": content["modality"]}
        for field, kind in (("channel_names", dict), ("labels", dict), ("file_ending", str)):
            if not isinstance(content, dict) or not isinstance(content.get(field), kind):
                name = "modality" if old and field == "channel_names" else field
                raise UsageError(f"{path} has no `{name}`; complete it as nnU-Net's raw format asks.")
        ending: str = content["file_ending"]
        _check_ending(ending, path)
        listed = _listed(content["training"], ending, path) if old and "training" in content else None
        return cls(
            _channels(content["channel_names"], "modality" if old else "channel_names", path),
            read_labels(content["labels"], content.get("regions_class_order"), path),
            ending,
            old,
            listed,
        )


def read_labels(labels: Mapping[str, Any], order: Any, path: Path) -> Labels:
    """What `labels` and `regions_class_order` of a file say.

    A label is an integer, also as text, or a list of them: a region. Values that are in the same regions are one class.
    `ignore` stands for one or several values. Names may also be given by number, as in nnU-Net 1. Raises UsageError
    for labels that have a gap or contradict each other.
    """
    values = {name: _values(name, value, path) for name, value in _by_name(labels, path).items()}
    ignored = values.pop(_IGNORE, ())
    foreground = {name: of for name, of in values.items() if name != "background"}
    used = sorted({value for of in values.values() for value in of})
    if values.get("background") != (0,) or any(0 in of for of in foreground.values()):
        raise UsageError(f"{path}: `labels` must have `background` = 0, and 0 in no other label, not {dict(labels)}.")
    if used != list(range(len(used))) or len(used) < 2:
        raise UsageError(
            f"{path}: `labels` must be `background` = 0, then 1, 2, ... without a gap, not {dict(labels)}."
        )
    if both := sorted(set(ignored) & set(used)):
        raise UsageError(f"{path}: the label {both[0]} is in `ignore` and in another label; it can be in one only.")
    _check_different(foreground, path)
    classes, numbers = _classes(foreground)
    numbers |= dict.fromkeys(ignored, UNLABELLED)
    if len(classes) == len(foreground) + 1 and all(len({numbers[v] for v in of}) == 1 for of in foreground.values()):
        return Labels(classes, numbers)
    return Labels(classes, numbers, _regions(foreground, numbers, order, path))


def _by_name(labels: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Labels from name to number; nnU-Net 1 and the Decathlon have them from number to name."""
    if not labels or not all(key.strip().isdecimal() and isinstance(name, str) for key, name in labels.items()):
        return dict(labels)
    if all(name.strip().isdecimal() for name in labels.values()):
        raise UsageError(f"{path}: `labels` gives no label a name; write it from name to number.")
    names = ["background" if int(key) == 0 else name for key, name in labels.items()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: two `labels` have the name {twice[0]!r}; give each a name of its own.")
    return dict(zip(names, (int(key) for key in labels), strict=True))


def _values(name: str, value: Any, path: Path) -> _Values:
    """A label's values, sorted."""
    found = value if isinstance(value, list) else [value]
    numbers = [int(each) if isinstance(each, str) and each.strip().isdecimal() else each for each in found]
    if not numbers or any(type(each) is not int for each in numbers):
        raise UsageError(
            f"{path}: the label {name!r} is {value!r}; give it one integer, or a list of them for a region."
        )
    return tuple(sorted(set(numbers)))


def _check_different(regions: Mapping[str, _Values], path: Path) -> None:
    first: dict[_Values, str] = {}
    for name, values in regions.items():
        if first.setdefault(values, name) != name:
            raise UsageError(
                f"{path}: the labels {first[values]!r} and {name!r} are the same, {list(values)}; leave one out."
            )


def _classes(foreground: Mapping[str, _Values]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of classes, and the class of each value: values that are in the same regions are one."""
    members: dict[tuple[str, ...], list[int]] = {}
    for value in sorted({value for of in foreground.values() for value in of}):
        members.setdefault(tuple(name for name, of in foreground.items() if value in of), []).append(value)
    exact = {of: name for name, of in foreground.items()}
    names = [exact.get(tuple(of), f"label {', '.join(map(str, of))}") for of in members.values()]
    numbers = {value: number for number, of in enumerate(members.values(), start=1) for value in of}
    return ("background", *names), {0: 0, **numbers}


def _regions(
    foreground: Mapping[str, _Values], numbers: Mapping[int, int], order: Any, path: Path
) -> tuple[Region, ...]:
    count = len(foreground)
    stand = order if isinstance(order, list) else None
    written = [int(each) if isinstance(each, str) and each.strip().isdecimal() else each for each in stand or ()]
    if len(written) != count or any(type(each) is not int for each in written):
        raise UsageError(
            f"{path}: labels that overlap need `regions_class_order`, a list of {count} integers: the label that is "
            f"written for each of {', '.join(foreground)}, later ones over earlier ones."
        )
    for (name, values), label in zip(foreground.items(), written, strict=True):
        if label not in values:
            raise UsageError(
                f"{path}: `regions_class_order` writes the label {label} for {name!r}, which has {list(values)}; give one "
                "of these."
            )
    return tuple(
        Region(name, values, tuple(sorted({numbers[value] for value in values})), numbers[label])
        for (name, values), label in zip(foreground.items(), written, strict=True)
    )


def _channels(channels: Mapping[str, Any], field: str, path: Path) -> tuple[str, ...]:
    numbers = [str(number) for number in range(len(channels))]
    if not channels or set(channels) != set(numbers):
        raise UsageError(f'{path}: `{field}` must name the channels "0", "1", ..., not {", ".join(channels)}.')
    return tuple(str(channels[number]) for number in numbers)


def _check_ending(ending: str, path: Path) -> None:
    if not re.fullmatch(r"(\.[A-Za-z0-9]+)+", ending):
        raise UsageError(f"{path}: `file_ending` must be one such as .nii.gz, beginning with a dot, not {ending!r}.")
    if ending.lower() in (".jpg", ".jpeg"):
        raise UsageError(
            f"{path}: `file_ending` is {ending}, which changes the values it stores, labels too; save the files as .png."
        )


def _listed(training: Any, ending: str, path: Path) -> tuple[str, ...]:
    """Names of the cases of `training`: pairs of paths of image and label, or paths of images."""
    rows: Sequence[Any] = training if isinstance(training, list) else []
    files = [row.get("label", row.get("image")) if isinstance(row, dict) else row for row in rows]
    names = [file.rpartition("/")[2].removesuffix(ending) for file in files if isinstance(file, str)]
    if not names or len(names) != len(files):
        raise UsageError(
            f'{path}: `training` must list pairs such as {{"image": "./imagesTr/a{ending}", "label": '
            f'"./labelsTr/a{ending}"}}; complete it, or remove it to take every case of imagesTr.'
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: `training` lists the case {twice[0]} twice; list it once.")
    return tuple(names)
