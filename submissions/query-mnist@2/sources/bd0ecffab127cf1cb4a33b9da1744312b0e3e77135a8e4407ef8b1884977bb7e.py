"""BADGE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy
from harness.methods.pool import highest

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import ClassificationPool, Picks


@query_strategy(
    version="1.0", name="badge", tasks=("classification",), needs=("features",), citation="Ash et al., ICLR 2020"
)
class BADGE:
    """Gradients of the last layer, for the predicted class as label, sampled by the rule of k-means++."""

    def query(self, pool: ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        embeddings = GradientEmbeddings(pool.probabilities.double().mean(dim=0).T.cpu().numpy(), pool.features)
        return spread_sample(embeddings, min(budget, pool.size), rng)


class GradientEmbeddings:
    """g = (p - one-hot of its largest) x f, the outer product, from probabilities (n, classes) and features (n, d).

    The (n, classes * d) embeddings are never made: g . g' = (a . a') (f . f').
    """

    def __init__(self, probabilities: np.ndarray, features: np.ndarray) -> None:
        import numpy as np

        self._errors = probabilities.astype(np.float64)
        self._errors[np.arange(len(probabilities)), probabilities.argmax(axis=1)] -= 1
        self._features = features.astype(np.float64)
        self.squared_norms: np.ndarray = (self._errors**2).sum(axis=1) * (self._features**2).sum(axis=1)

    def __len__(self) -> int:
        return len(self._errors)

    def squared_distances(self, place: int) -> np.ndarray:
        """(n,): squared Euclidean distance of every embedding to the one at `place`."""
        import numpy as np

        inner = (self._errors @ self._errors[place]) * (self._features @ self._features[place])
        squared: np.ndarray = np.maximum(self.squared_norms + self.squared_norms[place] - 2 * inner, 0)
        return squared


def spread_sample(embeddings: GradientEmbeddings, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur & Vassilvitskii 2007): the embedding of largest norm, then each in proportion to its squared
    distance to the nearest chosen one; where all that are left lie on chosen ones, any of them."""
    import numpy as np

    chosen: list[int] = []
    distances = np.full(len(embeddings), np.inf)
    for _ in range(count):
        if not chosen:
            place = int(highest(embeddings.squared_norms, 1, rng)[0])
        elif (total := distances.sum()) > 0:
            place = int(rng.choice(len(distances), p=distances / total))
        else:
            place = int(rng.choice(np.setdiff1d(np.arange(len(distances)), chosen)))
        chosen.append(place)
        distances = np.minimum(distances, embeddings.squared_distances(place))
        distances[chosen] = 0
    return np.array(chosen, dtype=np.int64)
