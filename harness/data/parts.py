"""Parts of a data set: the rules of `harness.spec.parts` applied to what a reader lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, Selection
from harness.data.readers.files import read_lines
from harness.spec.errors import UsageError, unknown
from harness.spec.parts import (
    Drop,
    Every,
    FirstPerClass,
    HoldOut,
    Keep,
    Listed,
    LongTail,
    Part,
    Relabel,
    Rows,
    Shuffle,
    Step,
)

if TYPE_CHECKING:
    import numpy as np


def select(name: str, parts: Mapping[str, Part], listing: Listing, folders: Sequence[Path]) -> Selection:
    """The samples of the part `name`. `folders`: where lists of samples are looked for, in this order.

    Raises UsageError for a part that is unknown, contains itself, names what is not there, or has no sample.
    """
    rows, labels = _rows(name, parts, listing, folders, ())
    if not len(rows):
        raise UsageError(f"the part {name} has no sample; check its rules and the files.")
    return Selection(listing, rows, labels)


def _rows(
    name: str, parts: Mapping[str, Part], listing: Listing, folders: Sequence[Path], within: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the listing, and a label for each."""
    import numpy as np

    if name not in parts:
        raise unknown("part", name, parts)
    if name in within:
        raise UsageError(f"the part {name} contains itself ({' > '.join((*within, name))}); mend the manifest.")
    part = parts[name]
    if part.of:
        pieces = [_rows(each, parts, listing, folders, (*within, name)) for each in part.of]
        rows, labels = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        if len(np.unique(rows)) < len(rows):
            raise UsageError(f"the part {name} unites parts that share samples; every sample is in it once.")
    else:
        rows = np.arange(len(listing))
        if part.split is not None:
            rows = np.flatnonzero(_column(listing, "split") == part.split)
            if not len(rows):
                raise UsageError(f"the part {name} asks for the split {part.split!r}, which the files do not have.")
        labels = listing.labels[rows]
    for step in part.steps:
        try:
            used = _groups_of(step, parts, listing, folders, (*within, name))
            rows, labels = _applied(step, rows, labels, listing, folders, used)
        except UsageError as error:
            raise UsageError(f"the part {name}: {error}") from error
    return rows, labels


def _groups_of(
    step: Step, parts: Mapping[str, Part], listing: Listing, folders: Sequence[Path], within: tuple[str, ...]
) -> int:
    """How many groups an earlier draw was from, whose random numbers are used up; 0 where there was none."""
    if not isinstance(step, HoldOut) or step.after is None:
        return 0
    rows, _ = _rows(step.after.part, parts, listing, folders, within)
    return len(set(_column(listing, step.after.group)[rows].tolist()))


def _applied(
    step: Step, rows: np.ndarray, labels: np.ndarray, listing: Listing, folders: Sequence[Path], used: int
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    if isinstance(step, Relabel):
        values = _column(listing, step.column)
        if step.by == "appearance":
            return rows, _by_appearance(values[rows])
        if values.dtype.kind not in "iu":
            raise UsageError(f"the column {step.column} holds texts; labels are whole numbers.")
        return rows, values[rows].astype(np.int64)
    if isinstance(step, Keep | Drop):
        values = labels if step.column == "label" else _column(listing, step.column)[rows]
        listed = np.isin(values.astype(str), _present(step, values))
        if step.group is not None:
            groups = _column(listing, step.group)[rows]
            listed = np.isin(groups, groups[listed])
        chosen = np.flatnonzero(listed if isinstance(step, Keep) else ~listed)
    elif isinstance(step, Listed):
        chosen = _listed(step, rows, listing, folders)
    elif isinstance(step, HoldOut):
        groups = None if step.group is None else _column(listing, step.group)[rows]
        chosen = _held_out(step, len(rows), groups, used)
    elif isinstance(step, Every):
        place = _places([_column(listing, column)[rows] for column in step.within], len(rows)) % step.of
        chosen = np.flatnonzero((place >= step.start) & (place < step.stop))
    elif isinstance(step, FirstPerClass):
        chosen = _first_per_class(step, labels, [_column(listing, column)[rows] for column in step.within])
    elif isinstance(step, LongTail):
        chosen = _long_tail(step, labels)
    else:
        chosen = _by_position(step, len(rows))
    return rows[chosen], labels[chosen]


def _by_position(step: Rows | Shuffle, count: int) -> np.ndarray:
    import numpy as np

    if isinstance(step, Rows):
        if max(step.start, step.stop or 0) > count:
            raise UsageError(f"rows {step.start} to {step.stop} are asked for, but there are {count} samples.")
        return np.arange(count)[step.start : step.stop]
    if step.like == "numpy":
        return np.random.default_rng(step.seed).permutation(count)
    return _dataloader_order(step.seed, count)


def _dataloader_order(seed: int, count: int) -> np.ndarray:
    """The order of a PyTorch DataLoader, by one: before it permutes, it draws from the same generator."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    if not count:
        return np.arange(0)
    numbers = TensorDataset(torch.arange(count))
    loader = DataLoader(numbers, batch_size=count, shuffle=True, generator=torch.Generator().manual_seed(seed))
    order: np.ndarray = next(iter(loader))[0].numpy()
    return order


def _held_out(step: HoldOut, count: int, groups: np.ndarray | None, used: int) -> np.ndarray:
    import numpy as np

    values = np.arange(count) if groups is None else groups
    numbers = _by_appearance(values) if step.draw == "legacy" else np.unique(values, return_inverse=True)[1].reshape(-1)
    total = int(numbers.max(initial=-1)) + 1
    size = step.count if step.count is not None else max(1, int(total * (step.share or 0)))
    if step.start + size >= total:
        raise UsageError(f"of {total} samples or groups no share can be held out that leaves any.")
    if step.draw == "legacy":
        old = np.random.RandomState(step.seed)
        old.permutation(used)
        drawn = old.permutation(total)[step.start : step.start + size]  # what its `choice` without replacement does
    else:
        rng = np.random.default_rng(step.seed)
        drawn = rng.choice(total, size, replace=False) if step.draw == "choice" else rng.permutation(total)[:size]
    held = np.isin(numbers, drawn)
    return np.flatnonzero(held if step.keep == "held-out" else ~held)


def _by_appearance(values: np.ndarray) -> np.ndarray:
    """(n,) int64, which of the distinct values each is, numbered in the order in which they first appear."""
    import numpy as np

    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(first))
    places: np.ndarray = place[inverse.reshape(-1)]
    return places


def _places(columns: Sequence[np.ndarray], count: int) -> np.ndarray:
    """(count,) how many samples with the same values in all columns stand before each."""
    import numpy as np

    if not columns or not count:
        return np.arange(count)
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in columns], axis=1)
    cell = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(cell, kind="stable")
    _, starts, sizes = np.unique(cell[order], return_index=True, return_counts=True)
    places = np.empty(count, dtype=np.int64)
    places[order] = np.arange(count) - np.repeat(starts, sizes)
    return places


def _first_per_class(step: FirstPerClass, labels: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    import numpy as np

    chosen = np.flatnonzero(_places([labels, *columns], len(labels)) < step.count)
    cells = np.unique(
        np.stack([np.unique(each, return_inverse=True)[1] for each in (labels, *columns)], axis=1), axis=0
    )
    if len(chosen) < step.count * len(cells):
        raise UsageError(f"{step.count} samples a class are asked for, but one class or cell has fewer.")
    return chosen


def _long_tail(step: LongTail, labels: np.ndarray) -> np.ndarray:
    import numpy as np

    classes = int(labels.max(initial=0)) + 1
    rng = np.random.default_rng(step.seed)
    kept = []
    for label in range(classes):
        share = step.imbalance ** (-label / max(classes - 1, 1))
        # The powers are exact for no class but the first: without the margin, 90 would become 89.
        kept.append(rng.permutation(np.flatnonzero(labels == label))[: int(step.largest * share + 1e-9)])
    return np.sort(np.concatenate(kept))


def _listed(step: Listed, rows: np.ndarray, listing: Listing, folders: Sequence[Path]) -> np.ndarray:
    """Positions in `rows` of the samples that a file names."""
    import numpy as np

    paths = [folder / step.file for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UsageError(f"its list of samples {step.file} is neither in {' nor in '.join(map(str, folders))}.")
    names = [step.prefix + name.removeprefix(step.strip) + step.suffix for name in _names(path)]
    place = {listing.ids[row]: position for position, row in enumerate(rows.tolist())}
    if absent := [name for name in names if name not in place]:
        raise UsageError(f"{path} lists {absent[0]} ({len(absent)} such), which is not among the samples.")
    if len(set(names)) < len(names):
        raise UsageError(f"{path} lists {len(names) - len(set(names))} samples more than once.")
    return np.asarray([place[name] for name in names], dtype=np.int64)


def _names(path: Path) -> list[str]:
    if path.suffix != ".json":
        return read_lines(path)
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}.") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path} must be a JSON list of names.")
    return names


def _column(listing: Listing, name: str) -> np.ndarray:
    if name not in listing.columns:
        raise unknown("column", name, listing.columns)
    return listing.columns[name]


def _present(step: Keep | Drop, values: np.ndarray) -> list[str]:
    """The values asked for, as texts. One that no sample has is a slip of the pen that would go unnoticed."""
    import numpy as np

    asked = [str(value) for value in step.values]
    found = set(np.unique(values).astype(str).tolist())
    if absent := [value for value in asked if value not in found]:
        raise UsageError(f"no sample has {step.column} = {absent[0]!r}; there is {', '.join(sorted(found)[:10])}.")
    return asked
