"""Asking again: on what else than its sample does an answer rest?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


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
