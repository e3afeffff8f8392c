"""Predictive entropy, class by class, 66 % of it on foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._class_stratified import ClassStratified
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(version="1.0", name="class-pe-66", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClassPE66:
    """66 % of the patches shared evenly among classes by entropy times probability, the rest by entropy."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(foreground=0.66, beta=None).query(pool, budget, rng)
