"""Batches drawn in proportion to a power of the mutual information or of the entropy, instead of its top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._power import power
from harness.methods.interface import query_strategy
from harness.methods.uncertainty import mutual_information, predictive_entropy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(version="1.0", name="power-bald", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALD:
    """Drawn in proportion to the mutual information."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(1, rng))


@query_strategy(version="1.0", name="power-bald-b5", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALDb5:
    """Drawn in proportion to the mutual information to the power of 5."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(5, rng))


@query_strategy(version="1.0", name="power-bald-b10", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALDb10:
    """Drawn in proportion to the mutual information to the power of 10."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(10, rng))


@query_strategy(version="1.0", name="power-bald-b20", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALDb20:
    """Drawn in proportion to the mutual information to the power of 20."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(20, rng))


@query_strategy(version="1.0", name="power-bald-b40", needs=("members",), citation="Kirsch et al., TMLR 2023")
class PowerBALDb40:
    """Drawn in proportion to the mutual information to the power of 40."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(mutual_information, budget, rng, adjust=power(40, rng))


@query_strategy(version="1.0", name="power-pe", citation="Kirsch et al., TMLR 2023")
class PowerPE:
    """Drawn in proportion to the predictive entropy."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        return pool.best(predictive_entropy, budget, rng, adjust=power(1, rng))
