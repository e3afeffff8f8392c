"""SoftrankBALD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy
from harness.methods.pool import highest
from harness.methods.uncertainty import mutual_information

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(version="1.0", name="softrank-bald", needs=("members",), citation="Kirsch et al., TMLR 2023")
class SoftrankBALD:
    """Drawn in proportion to the inverse rank by mutual information; of an image, twice as many patches compete."""

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        import numpy as np

        candidates = pool.candidates(mutual_information, rng, factor=2)
        ranked = highest(candidates.scores, len(candidates.scores), rng)
        noisy = -np.log(np.arange(1, len(ranked) + 1)) + rng.gumbel(size=len(ranked))
        return candidates.take(ranked[highest(noisy, budget, rng)])
