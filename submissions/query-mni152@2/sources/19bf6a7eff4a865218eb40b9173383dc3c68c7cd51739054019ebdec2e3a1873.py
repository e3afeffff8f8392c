"""Queries of which each class gets its share, 33 or 66 % of all: with no noise, constant noise, or noise that falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._class_stratified import ClassStratified, exponential_schedule, sigmoid_schedule
from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, SegmentationPool


@query_strategy(version="1.0", name="class-pe-33", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClassPE33:
    """33 % of the patches shared evenly among classes by entropy times probability, the rest by entropy."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.33, None).query(pool, budget, rng)


@query_strategy(version="1.0", name="class-pe-66", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClassPE66:
    """66 % of the patches shared evenly among classes by entropy times probability, the rest by entropy."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.66, None).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="class-power-pe-33", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClassPowerPE33:
    """As class-pe-33, with the noise of PowerPE."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.33, 1.0).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="class-power-pe-66", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClassPowerPE66:
    """As class-pe-66, with the noise of PowerPE."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.66, 1.0).query(pool, budget, rng)


@query_strategy(version="1.0", name="clasp-pe-33", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClaSPPE33:
    """As class-power-pe-33, with noise that falls exponentially from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.33, exponential_schedule(pool.loop, pool.loops)).query(pool, budget, rng)


@query_strategy(version="1.0", name="clasp-pe", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026")
class ClaSPPE:
    """As class-power-pe-66, with noise that falls exponentially from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.66, exponential_schedule(pool.loop, pool.loops)).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="clasp-pe-33-sharp", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClaSPPE33Sharp:
    """As class-power-pe-33, with noise that falls along a sharp sigmoid from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.33, sigmoid_schedule(pool.loop, pool.loops, 0.5)).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="clasp-pe-33-smooth", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClaSPPE33Smooth:
    """As class-power-pe-33, with noise that falls along a smooth sigmoid from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.33, sigmoid_schedule(pool.loop, pool.loops, 2.0)).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="clasp-pe-66-sharp", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClaSPPE66Sharp:
    """As class-power-pe-66, with noise that falls along a sharp sigmoid from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.66, sigmoid_schedule(pool.loop, pool.loops, 0.5)).query(pool, budget, rng)


@query_strategy(
    version="1.0", name="clasp-pe-66-smooth", tasks=("segmentation",), citation="Lüth, Traub et al., TMLR 2026"
)
class ClaSPPE66Smooth:
    """As class-power-pe-66, with noise that falls along a smooth sigmoid from loop to loop."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        return ClassStratified(0.66, sigmoid_schedule(pool.loop, pool.loops, 2.0)).query(pool, budget, rng)
