"""PowerBALD at temperature 1/40."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._power import power
from harness.methods.interface import query_strategy
from harness.methods.uncertainty import mutual_information

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(version="1.0", name="power-bald-b40", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALDb40:
    """Drawn in proportion to the mutual information to the power of 40."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(40, rng))
