"""Random sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(version="1.0", name="random-sampling", citation="Traub et al. 2025, nnActive")
class RandomSampling:
    """What no strategy may do worse than: images or patches at random."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.random(budget, rng)
