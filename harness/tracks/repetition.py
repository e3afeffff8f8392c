"""Asking again: do two answers for a sample agree, and on what else than its sample does an answer rest?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def magnitudes(one: np.ndarray, other: np.ndarray, every: np.ndarray) -> np.ndarray:
    """(n,) float64: what the difference of two answers (n, ...) for a sample is measured against.

    It is the largest number in either, and at least what is usual: the median of that over all answers `every` (m, ...).
    So a few huge answers hide nothing in the others. Where all are 0 it is 1. NaN and infinities do not count.
    """
    import numpy as np

    first, second, all_of_them = map(_peaks, (one, other, every))
    usual = float(np.median(all_of_them)) if len(all_of_them) else 0.0
    found: np.ndarray = np.maximum(np.maximum(first, second), usual)
    return np.where(found == 0, 1.0, found)


def _peaks(answers: np.ndarray) -> np.ndarray:
    import numpy as np

    sizes = np.abs(answers.astype(np.complex128 if answers.dtype.kind == "c" else np.float64, copy=False))
    finite = np.where(np.isfinite(sizes), sizes, 0.0)
    peaks: np.ndarray = finite.max(axis=tuple(range(1, finite.ndim)), initial=0.0)
    return peaks


def what_it_rests_on(
    sample: int,
    batch: np.ndarray,
    said: np.ndarray,
    ask: Callable[[np.ndarray], np.ndarray],
    same: Callable[[np.ndarray, np.ndarray], bool],
) -> str:
    """The end of the sentence "its answer rests ...", once two answers for a sample differ.

    sample: its number. batch: (n,) numbers of the samples among which it was asked first. said: (n, ...) what was
    answered then. ask: answers for samples with these numbers. same: whether two answers for one sample agree.
    """
    import numpy as np

    at = int(np.flatnonzero(batch == sample)[0])
    if not same(ask(batch)[at], said[at]):
        return "on what it was asked before, or on numbers that it draws"
    if not all(map(same, ask(batch[::-1])[::-1], said)):
        return "on the order of the samples"
    return "on the other samples of its batch, or on how many they are"
