"""What every reader gives: samples in a fixed order, opened without being loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Listing:
    """All samples of a data set's files, as a reader lists them; parts are selections of its rows.

    ids: (n,) names that tell samples apart, such as relative file names. labels: (n,) int64, whole numbers from 0.
    columns: name -> (n,) texts or whole numbers that rules of parts ask for. read: see `Selection`.
    """

    ids: Sequence[str]
    labels: np.ndarray
    columns: Mapping[str, np.ndarray]
    read: Callable[[Sequence[int]], list[np.ndarray]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Selection:
    """Labelled samples of a listing (images, volumes, point clouds), read piece by piece.

    Order and labels are its own, and part of the contract: position i is the same sample on every machine.
    """

    listing: Listing
    rows: np.ndarray
    labels: np.ndarray

    @property
    def ids(self) -> Sequence[str]:
        return [self.listing.ids[row] for row in self.rows.tolist()]

    def read(self, rows: Sequence[int]) -> list[np.ndarray]:
        """The samples at these positions, unscaled: images (h, w) or (h, w, c) uint8 of any size, volumes
        (z, y, x), clouds (points, 3) float32. Raises IntegrityError for a file that cannot be read."""
        return self.listing.read(self.rows[list(rows)].tolist())

    def __len__(self) -> int:
        return len(self.rows)


def checked(listing: Listing, classes: int | None, where: str) -> Listing:
    """The listing, if its ids are unique and its labels within 0 to classes - 1. Raises IntegrityError."""
    if not (len(listing.ids) == len(listing.labels) == len(set(listing.ids))):
        twice = [name for name, count in Counter(listing.ids).items() if count > 1]
        if twice:
            raise IntegrityError(f"{where} has the sample {twice[0]} twice; every sample is listed once.")
        raise IntegrityError(f"{where} has {len(listing.ids)} samples, but {len(listing.labels)} labels.")
    if len(listing) and (listing.labels.min() < 0 or (classes is not None and listing.labels.max() >= classes)):
        upper = "" if classes is None else f" to {classes - 1}"
        raise IntegrityError(
            f"{where} has labels from {listing.labels.min()} to {listing.labels.max()}; they must be from 0{upper}."
        )
    return listing


def by_split(counts: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    """Ids `<split>/<row>` of so many samples a split, one split after the other, and the column of splits."""
    import numpy as np

    ids = [f"{split}/{row}" for split, count in counts.items() for row in range(count)]
    return ids, np.repeat(list(counts), list(counts.values()))


def blockwise(
    sizes: Sequence[int], read: Callable[[int, list[int]], Sequence[np.ndarray]]
) -> Callable[[Sequence[int]], list[np.ndarray]]:
    """`Listing.read` for samples that lie in blocks (files, or parts of them), one after the other.

    read: gives the samples of a block, by its number, at positions within it; asked once for each block that is touched,
    with sorted positions, each of them once.
    """
    import numpy as np

    ends = np.cumsum(sizes)

    def read_rows(rows: Sequence[int]) -> list[np.ndarray]:
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        blocks = np.searchsorted(ends, wanted, side="right")
        found: dict[int, np.ndarray] = {}
        for block in np.unique(blocks).tolist():
            mine = wanted[blocks == block]
            found.update(zip(mine.tolist(), read(block, (mine - ends[block] + sizes[block]).tolist()), strict=True))
        return [found[row] for row in rows]

    return read_rows


def whole_numbers(values: np.ndarray, where: str) -> np.ndarray:
    """(n,) int64 of an array (n,) or (n, 1) of whole numbers. Raises IntegrityError for anything else."""
    import numpy as np

    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise IntegrityError(f"{where}: labels are {values.dtype} {values.shape}; one whole number a sample is needed.")
    return values.astype(np.int64)
