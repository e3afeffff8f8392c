"""k-means BALD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.query._diversity import farthest_points
from harness.methods.interface import query_strategy
from harness.methods.pool import highest
from harness.methods.uncertainty import mutual_information

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, Pool


@query_strategy(
    version="1.0", name="kmeans-bald", needs=("members", "features"), citation="Traub et al. 2025, nnActive"
)
class KMeansBALD:
    """Candidates by mutual information whose features lie far apart, the largest first, then the farthest.

    Candidates are twice as many patches as the protocol allows of an image, or of a pool of images twice the budget.
    Each feature is divided by its standard deviation.
    """

    def query(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        import numpy as np

        candidates = pool.candidates(mutual_information, rng, factor=2)
        kept = np.arange(len(candidates.scores))
        if pool.task == "classification":
            kept = highest(candidates.scores, 2 * budget, rng)
        features = candidates.features()[kept]
        spread = features.std(axis=0)
        features = features / np.where(spread > 0, spread, 1)
        first = highest(np.linalg.norm(features, axis=1), 1, rng)[0]
        return candidates.take(kept[farthest_points(features, min(budget, len(kept)), rng, first=int(first))])
