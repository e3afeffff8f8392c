"""Core-set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._diversity import farthest_points, nearest_squared
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import ClassificationPool, Picks


@query_strategy(
    version="1.0",
    name="core-set",
    tasks=("classification",),
    needs=("features",),
    citation="Sener & Savarese, ICLR 2018",
)
class CoreSet:
    """Images whose features lie farthest from those of all labelled ones (k-center greedy)."""

    def query(self, pool: ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        features = pool.features
        nearest = nearest_squared(features, pool.labelled_features)
        return farthest_points(features, min(budget, pool.size), rng, nearest=nearest)
