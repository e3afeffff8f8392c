"""ClaSP PE, 33 % on foreground, noise that falls along a sharp sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._class_stratified import ClassStratified, sigmoid_schedule
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(
    version="1.0", name="clasp-pe-33-sharp", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClaSPPE33Sharp:
    """As class-power-pe-33, with noise that falls along a sharp sigmoid from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(foreground=0.33, beta=sigmoid_schedule(pool.loop, pool.loops, 0.5)).query(
            pool, budget, rng
        )
