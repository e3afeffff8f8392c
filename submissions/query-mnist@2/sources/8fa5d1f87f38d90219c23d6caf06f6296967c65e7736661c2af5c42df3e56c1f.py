"""TypiClust."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import ClassificationPool, Picks


MOST_CLUSTERS, SMALLEST_CLUSTER, NEIGHBOURS = 500, 5, 20


@query_strategy(
    version="1.0",
    name="typi-clust",
    tasks=("classification",),
    needs=("features",),
    citation="Hacohen et al., ICML 2022",
)
class TypiClust:
    """The most typical image of each cluster of features that has no label yet, large clusters first.

    k-means finds as many clusters as there will be labelled images, at most 500. Clusters with the fewest labelled
    images come first, of these the largest; those of fewer than 5 images come last.
    """

    def query(self, pool: ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        import numpy as np

        budget = min(budget, pool.size)
        features = np.concatenate([pool.features, pool.labelled_features]).astype(np.float64)
        cluster = _clusters(features, min(len(features) - pool.size + budget, MOST_CLUSTERS), rng)
        members = [np.flatnonzero(cluster == number) for number in range(cluster.max() + 1)]
        ranked = [_by_typicality(features, which, pool.size, rng) for which in members]
        labelled = [int((which >= pool.size).sum()) for which in members]
        chosen: list[int] = []
        while len(chosen) < budget:
            open_ones = [number for number, left in enumerate(ranked) if left]
            number = min(
                open_ones, key=lambda c: (len(members[c]) < SMALLEST_CLUSTER, labelled[c], -len(members[c]), c)
            )
            chosen.append(ranked[number].pop())
            labelled[number] += 1
        return np.array(chosen, dtype=np.int64)


def typicality(features: np.ndarray) -> np.ndarray:
    """Inverse of the mean distance (n,) of points (n, d) to their 20 nearest neighbours, or to all if they are fewer.

    Infinite where these lie on the point itself, and for a single point.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, len(features) - 1)
    if count < 1:
        return np.full(len(features), np.inf)
    distances, _ = NearestNeighbors(n_neighbors=count).fit(features).kneighbors()  # of each to the others
    with np.errstate(divide="ignore"):
        inverse: np.ndarray = 1 / distances.mean(axis=1)
    return inverse


def _clusters(features: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The number of each point's cluster (n,)."""
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        found = KMeans(count, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(features)
    return np.asarray(found)


def _by_typicality(features: np.ndarray, which: np.ndarray, size: int, rng: np.random.Generator) -> list[int]:
    """The unlabelled images of a cluster, the most typical last; of equals, in an order that `rng` draws."""
    import numpy as np

    which = rng.permutation(which)
    ordered = which[np.argsort(typicality(features[which]), kind="stable")]
    return [int(index) for index in ordered if index < size]
