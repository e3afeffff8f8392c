"""PowerPE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._power import power
from harness.methods.interface import query_strategy
from harness.methods.uncertainty import predictive_entropy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(version="1.0", name="power-pe", citation="Kirsch et al., TMLR 2023")
class PowerPE:
    """Drawn in proportion to the predictive entropy."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(predictive_entropy, budget, rng, adjust=power(1, rng))
