"""BatchBALD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy
from harness.methods.pool import highest
from harness.methods.uncertainty import expected_entropy, mutual_information

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import ClassificationPool, Picks


CONFIGURATIONS = 40_000
"""Of a batch's labels: up to so many are enumerated, and so many are sampled where there are more."""
_AT_ONCE = 32  # images whose gain is computed together
_SAMPLED_GAINS = 128  # images whose gain is estimated for one pick, once configurations are sampled
_SETTLED = 1e-3  # nats that are left to gain, below which sampled gains are noise


@query_strategy(
    version="1.0",
    name="batch-bald",
    tasks=("classification",),
    needs=("members",),
    citation="Kirsch et al., NeurIPS 2019",
)
class BatchBALD:
    """The batch of largest mutual information between its labels and the weights, greedily.

    Gains of a growing batch never rise, so an image is looked at again only while its last gain exceeds the best one
    found. This is exact as long as the labels of the batch have up to 40,000 configurations; above, these are sampled,
    and the 128 images of highest last gain stand for the pool. Once sampled labels tell all members apart, nothing is
    left to gain, and what the budget still holds are the images of highest mutual information by themselves.
    """

    def query(self, pool: ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        import numpy as np

        if budget > pool.size:
            return pool.best(mutual_information, budget, rng)  # which says so
        members = pool.probabilities.double().permute(2, 0, 1).cpu().numpy()
        alone = mutual_information(pool.probabilities).cpu().numpy()
        bounds = alone.copy()
        own = expected_entropy(pool.probabilities).cpu().numpy()
        joint = JointLabels(members.shape[1])
        chosen: list[int] = []
        while len(chosen) < budget and not joint.settled:
            place = _next(joint, members, own, bounds, rng) if chosen else int(highest(bounds, 1, rng)[0])
            chosen.append(place)
            bounds[place] = -np.inf
            joint.extend(members[place], rng)
        rest = np.setdiff1d(np.arange(pool.size), chosen)
        return np.concatenate([chosen, rest[highest(alone[rest], budget - len(chosen), rng)]]).astype(np.int64)


class JointLabels:
    """Configurations of the labels of a batch: how probable each is, and what it says about the members.

    probability: (configurations,), sums to 1. posterior: (configurations, members), of the members given the labels.
    """

    def __init__(self, members: int) -> None:
        import numpy as np

        self.probability = np.ones(1)
        self.posterior = np.full((1, members), 1 / members)
        self.exact = True

    @property
    def settled(self) -> bool:
        """Whether sampled labels leave next to no doubt about the member: no label can say more than is in doubt."""
        return not self.exact and float(self.probability @ _information(self.posterior).sum(axis=1)) < _SETTLED

    def conditional_entropy(self, members: np.ndarray) -> np.ndarray:
        """H(label | labels of the batch) (n,) of images (n, members, classes)."""
        import numpy as np

        flat = members.transpose(1, 0, 2).reshape(members.shape[1], -1).astype(self.posterior.dtype)
        terms = self.probability @ _information(self.posterior @ flat)
        entropy: np.ndarray = np.asarray(terms, dtype=np.float64).reshape(len(members), -1).sum(axis=1)
        return entropy

    def extend(self, image: np.ndarray, rng: np.random.Generator) -> None:
        """Put an image (members, classes) into the batch: with every label, or, from the first time that these would
        be too many on, with a label drawn for each of `CONFIGURATIONS` samples."""
        import numpy as np

        classes = image.shape[1]
        if self.exact and len(self.probability) * classes > CONFIGURATIONS:
            self.exact = False
            drawn = rng.choice(len(self.probability), CONFIGURATIONS, p=self.probability)
            # Single precision is far finer than what sampling leaves open, and twice as fast.
            self.posterior = self.posterior[drawn].astype(np.float32)
            self.probability = np.full(CONFIGURATIONS, 1 / CONFIGURATIONS, dtype=np.float32)
        image = image.astype(self.posterior.dtype)
        predicted = self.posterior @ image
        if self.exact:
            joint = self.posterior[:, None, :] * image.T
            probability = (self.probability[:, None] * predicted).ravel()
            possible = probability > 0
            posterior = joint.reshape(-1, image.shape[0])[possible]
            self.probability = probability[possible] / probability.sum()
        else:
            thresholds = rng.random(len(predicted))[:, None] * predicted.sum(axis=1, keepdims=True)
            label = np.minimum((np.cumsum(predicted, axis=1) <= thresholds).sum(axis=1), classes - 1)
            posterior = self.posterior * image.T[label]
        self.posterior = posterior / posterior.sum(axis=1, keepdims=True)


def _information(probabilities: np.ndarray) -> np.ndarray:
    """-p ln p, entry by entry, in the precision of p."""
    import numpy as np

    terms: np.ndarray = np.maximum(probabilities, np.finfo(probabilities.dtype).tiny)
    np.log(terms, out=terms)
    terms *= -probabilities
    return terms


def _next(
    joint: JointLabels, members: np.ndarray, own: np.ndarray, bounds: np.ndarray, rng: np.random.Generator
) -> int:
    """The image of largest gain H(label | batch) - E H(label | member); `bounds`, the last gains, are brought up to
    date where they are looked at."""
    order = highest(bounds, len(bounds), rng)
    if not joint.exact:
        order = order[:_SAMPLED_GAINS]
    best, largest = -1, -float("inf")
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        some = some[bounds[some] > -float("inf")]
        if not len(some) or bounds[some[0]] < largest:
            break
        bounds[some] = joint.conditional_entropy(members[some]) - own[some]
        place = int(bounds[some].argmax())
        if bounds[some[place]] > largest:
            best, largest = int(some[place]), float(bounds[some[place]])
    return best
