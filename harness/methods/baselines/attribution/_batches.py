"""A few samples at a time, so that memory stays small, and with the same random draws for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 16
"""Fewest inputs in a pass: memory stays small for large images, and on a CPU larger batches of these cost more a sample."""

_MOST_AT_ONCE = 256
_NUMBERS_AT_ONCE = 1 << 18


def at_once(inputs: Tensor) -> int:
    """How many inputs (n, c, *spatial) are passed at once: more of small images and volumes, whose passes are overhead.

    Not of point clouds: their few numbers become many in pairs of points.
    """
    if inputs.ndim == 3:
        return AT_ONCE
    return int(min(_MOST_AT_ONCE, max(AT_ONCE, _NUMBERS_AT_ONCE // max(1, inputs.shape[1:].numel()))))


def in_batches(
    explain: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor, size: int | None = None
) -> Tensor:
    """What `explain` says of inputs (n, c, *spatial) and targets (n,), asked for `size` samples at a time.

    By default as many as `at_once` says.
    """
    import torch

    size = size or at_once(inputs)
    parts = zip(inputs.split(size), targets.split(size), strict=True)
    return torch.cat([explain(*part).detach() for part in parts])


def one_by_one(explain: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """The same with single samples: for what draws at random, runs a batch for each sample or magnifies rounding."""
    return in_batches(explain, inputs, targets, size=1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global random numbers from `seed` within, and as if nothing had happened afterwards."""
    import numpy as np
    import torch

    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(state)
