"""Reader for released predictions: a CSV file without header, rows `index, p0, p1, ...`, beside a `.npy` file of labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import whole_numbers
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np

_ACCURACY = re.compile(r"\[ACC\](\d?\.\d+)")
_SUMS = 1e-3  # how far the probabilities of a row may be from 1 together


def read_probabilities(path: Path) -> np.ndarray:
    """(n, classes) float64, rows in the order of the indices, which are 0 to n - 1. Raises IntegrityError."""
    import numpy as np

    if not path.stat().st_size:
        raise IntegrityError(f"{path} is empty; fetch it again.")
    try:
        with path.open(encoding="utf-8") as stream:
            rows = np.loadtxt(stream, delimiter=",", dtype=np.float64, ndmin=2, comments=None)
    except (ValueError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{path} is no file of predictions: every line is `index,p0,p1,...` with commas and without a header ({error})."
        ) from error
    if rows.shape[1] < 3:
        raise IntegrityError(
            f"{path} has {rows.shape[1]} columns; an index and the probabilities of two or more classes are needed."
        )
    if not np.array_equal(rows[:, 0], np.arange(len(rows))):
        raise IntegrityError(
            f"{path}: its first column is not 0 to {len(rows) - 1} in order, so rows cannot be told apart."
        )
    probabilities = rows[:, 1:]
    if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(axis=1), 1.0, rtol=0, atol=_SUMS):
        raise IntegrityError(
            f"{path} holds rows that are negative, not finite or do not sum to 1: no probabilities of classes."
        )
    return probabilities


def read_labels(path: Path) -> np.ndarray:
    """(n,) int64. Nothing is unpickled. Raises IntegrityError for several labels a sample, and for a damaged file."""
    import numpy as np

    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise IntegrityError(f"{path} is no plain array ({error}).") from error
    if not isinstance(labels, np.ndarray):
        raise IntegrityError(f"{path} is no plain array.")
    return whole_numbers(labels, str(path))


def check_against(labels: np.ndarray, probabilities: np.ndarray, path: Path) -> None:
    """Raise IntegrityError for labels that are not those that predictions were made for, as far as that shows.

    They are as many, and where the file's name states the accuracy, `[ACC]0.863`, it is theirs, up to rounding and one
    sample, which a tie may change.
    """
    if len(labels) != len(probabilities):
        raise IntegrityError(
            f"{path} has {len(probabilities)} rows for {len(labels)} labels: the labels are of another release of the data set."
        )
    stated = _ACCURACY.search(path.name)
    found = float((probabilities.argmax(axis=1) == labels).mean()) if len(labels) else 0.0
    if (
        stated
        and len(labels)
        and abs(found - float(stated[1])) > 0.5 * 10.0 ** -(len(stated[1].partition(".")[2])) + 1 / len(labels)
    ):
        raise IntegrityError(
            f"{path} states an accuracy of {stated[1]}, with the labels at hand it is {found:.3f}: they are in another order, or "
            "of another release of the data set."
        )
