"""Expected Dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import query_strategy
from harness.methods.pool import highest

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Picks, PoolImage, SegmentationPool


@query_strategy(
    version="1.0",
    name="expected-dice",
    tasks=("segmentation",),
    needs=("members",),
    citation="Traub et al. 2025, nnActive",
)
class ExpectedDice:
    """Patches in which the members' soft Dice with their mean is lowest."""

    def query(self, pool: SegmentationPool, budget: int, rng: np.random.Generator) -> Picks:
        import numpy as np

        found = [
            (image.name, corner, score)
            for image in pool.images
            for corner, score in image.patches(-_agreement(image, pool.classes), rng)
        ]
        places = highest(np.array([score for *_, score in found]), budget, rng)
        return [found[place][:2] for place in places]


def _agreement(image: PoolImage, classes: int) -> np.ndarray:
    """(*grid): 2 sum(p p_m) / sum(p + p_m) over a patch, mean over the classes that are there and over members."""
    import numpy as np

    probabilities = image.probabilities
    total = [np.zeros(()) for _ in probabilities]
    present = [np.zeros(()) for _ in probabilities]
    for label in range(classes):
        members = probabilities[:, label].double()
        mean = members.mean(dim=0)
        expected = image.patch_means(mean)
        for number, member in enumerate(members):
            size = expected + image.patch_means(member)
            shared = 2 * image.patch_means(mean * member)
            total[number] = total[number] + np.divide(shared, size, out=np.zeros_like(size), where=size > 0)
            present[number] = present[number] + (size > 0)
    agreement: np.ndarray = np.mean(np.array(total) / np.maximum(present, 1), axis=0)
    return agreement
