"""PowerPE, class by class, 33 % of it on foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._class_stratified import ClassStratified
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(
    version="1.0", name="class-power-pe-33", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClassPowerPE33:
    """As class-pe-33, with the noise of PowerPE."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(foreground=0.33, beta=1.0).query(pool, budget, rng)
