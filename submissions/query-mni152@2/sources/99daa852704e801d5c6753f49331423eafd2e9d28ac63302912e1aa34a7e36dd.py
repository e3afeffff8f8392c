"""Random patches, of which a share lies on foreground: what strategies in volumes are measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(
    version="1.0",
    name="foreground-random-33",
    tasks=("segmentation",),
    oracle=True,
    reference=True,
    citation="Traub et al. 2025, nnActive",
)
class ForegroundRandom33:
    """Random patches, a third of them centred on a class or its border, known from the labels."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.random(budget, rng, foreground=1 / 3)


@query_strategy(
    version="1.0",
    name="foreground-random-66",
    tasks=("segmentation",),
    oracle=True,
    reference=True,
    citation="Traub et al. 2025, nnActive",
)
class ForegroundRandom66:
    """Random patches, two thirds of them centred on a class or its border, known from the labels."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.random(budget, rng, foreground=2 / 3)
