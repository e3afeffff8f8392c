"""ClaSP PE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._class_stratified import ClassStratified, exponential_schedule
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(version="1.0", name="clasp-pe", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClaSPPE:
    """As class-power-pe-66, with noise that falls exponentially from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(foreground=0.66, beta=exponential_schedule(pool.loop, pool.loops)).query(
            pool, budget, rng
        )
