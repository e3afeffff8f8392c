"""Queries of which each class gets its share: the family of ClaSP PE (Lüth, Traub et al., TMLR 2026)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.methods.baselines.query._power import power
from harness.methods.pool import highest
from harness.methods.uncertainty import predictive_entropy

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.methods.pool import Picks, PoolImage, SegmentationPool

LARGEST_BETA = 100.0
GLOBAL = 0  # the slot of patches for no class in particular, in place of the background


def exponential_schedule(loop: int, loops: int) -> float:
    """beta of a query after `loop` others, with `loops` trainings: 100 ** (loop / (loops - 1)), so never quite 100."""
    return float(LARGEST_BETA ** (loop / (loops - 1)))


def sigmoid_schedule(loop: int, loops: int, temperature: float) -> float:
    """beta along the logistic curve from -6 to 6, steeper for a lower temperature, with ends at 1 and 100."""
    import numpy as np

    curve = 1 / (1 + np.exp(-np.linspace(-6, 6, loops) / temperature))
    return float(1 + (LARGEST_BETA - 1) * (curve[loop] - curve[0]) / (curve[-1] - curve[0]))


def quotas(budget: int, classes: int, foreground: float, rng: np.random.Generator) -> list[int]:
    """Patches of each slot: `int(budget * foreground)` evenly over the foreground classes, what cannot be divided to
    random ones, and the rest to the global slot, which stands first."""
    import numpy as np

    on_classes = int(budget * foreground)
    each, more = divmod(on_classes, classes - 1)
    shares = np.full(classes, each)
    shares[GLOBAL] = budget - on_classes
    shares[1 + rng.permutation(classes - 1)[:more]] += 1
    return [int(share) for share in shares]


class _Candidate(NamedTuple):
    image: str
    corner: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class ClassStratified:
    """Class c ranks patches by entropy times mean probability of c, the global slot by entropy.

    foreground: share of the budget for the classes. beta: of the power noise on patch scores, None for none.

    In each image the slots choose in random order, no patch overlaps that of another slot, and a slot gives at most its
    part of what the protocol allows of one image. Where a slot has fewer patches than its quota, the best of the global
    slot take their place, then those of other slots at random, then the best by entropy that images have room for.
    """

    foreground: float
    beta: float | None

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        slots: list[list[_Candidate]] = [[] for _ in range(pool.classes)]
        for image in pool.images:
            for slot, candidate in self._of_image(image, pool, rng):
                slots[slot].append(candidate)
        shares = quotas(budget, pool.classes, self.foreground, rng)
        chosen = [best for slot, share in zip(slots, shares, strict=True) for best in _best(slot, share, rng)]
        chosen += _best(_without(slots[GLOBAL], chosen), budget - len(chosen), rng)
        spare = _without([each for slot in slots for each in slot], chosen)
        chosen += [spare[place] for place in rng.permutation(len(spare))[: budget - len(chosen)]]
        if len(chosen) < budget:
            chosen += _best(list(self._room(pool, chosen, budget, rng)), budget - len(chosen), rng)
        return [(each.image, each.corner) for each in chosen]

    def _of_image(
        self, image: PoolImage, pool: SegmentationPool, rng: np.random.Generator
    ) -> Iterator[tuple[int, _Candidate]]:
        """What each slot would take of an image."""
        most = pool.max_per_image
        per_class = max(1, int(most * self.foreground / pool.classes))
        probabilities = image.probabilities
        entropy = predictive_entropy(probabilities)
        taken: list[tuple[int, ...]] = []
        for slot in rng.permutation(pool.classes).tolist():
            limit = max(1, int(most * (1 - self.foreground))) if slot == GLOBAL else per_class
            means = image.patch_means(entropy if slot == GLOBAL else entropy * _mean_of(probabilities, slot))
            if self.beta is not None:
                means = power(self.beta, rng)(means)
            for corner, score in image.patches(means, rng, limit=limit, taken=taken):
                taken.append(corner)
                yield slot, _Candidate(image.name, corner, score)

    def _room(
        self, pool: SegmentationPool, chosen: list[_Candidate], budget: int, rng: np.random.Generator
    ) -> Iterator[_Candidate]:
        """What still fits beside the chosen patches, whatever the protocol allows of one image."""
        for image in pool.images:
            means = image.patch_means(predictive_entropy(image.probabilities))
            taken = [each.corner for each in chosen if each.image == image.name]
            for corner, score in image.patches(means, rng, limit=budget, taken=taken):
                yield _Candidate(image.name, corner, score)


def _mean_of(probabilities: Tensor, label: int) -> Tensor:
    """Mean probability of a class (*shape) float64, member by member."""
    total = probabilities[0, label].double()
    for member in probabilities[1:]:
        total += member[label]
    return total / len(probabilities)


def _without(candidates: list[_Candidate], chosen: Iterable[_Candidate]) -> list[_Candidate]:
    gone = set(chosen)
    return [each for each in candidates if each not in gone]


def _best(candidates: list[_Candidate], count: int, rng: np.random.Generator) -> list[_Candidate]:
    import numpy as np

    places = highest(np.array([each.score for each in candidates]), count, rng)
    return [candidates[place] for place in places]
