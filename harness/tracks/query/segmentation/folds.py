"""Cross-validation over annotated images, in which every training set has every class.

The rule of nnActive (Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive): the rarest class first, each class is
put into two folds; the other images fill the folds evenly. Where its greedy choice would leave a class in one fold
although another choice does not, the other choice is found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from harness.spec.errors import UsageError

_SEED = 12345  # nnActive's, the same for every experiment
_STEPS = 20_000


def make_folds(classes: Mapping[str, Collection[int]], folds: int) -> list[list[str]]:
    """A partition of images into folds, such that every class is in at least two of them.

    classes: what is annotated in each image. Folds differ in size by one image at most, unless the classes force
    more; names are sorted, and the result does not depend on the order of the images. Raises UsageError if there are
    fewer images than folds, a class is in fewer than two images, or no partition has every class in two folds.
    """
    if len(classes) < folds:
        raise UsageError(
            f"{len(classes)} annotated images do not fill {folds} folds; begin with more patches or take fewer folds."
        )
    rng = np.random.default_rng(_SEED)
    names = [sorted(classes)[i] for i in rng.permutation(len(classes))]
    images = {label: [name for name in names if label in classes[name]] for label in set().union(*classes.values())}
    for label, of in sorted(images.items()):
        if len(of) < 2:
            raise UsageError(
                f"class {label} is annotated in one image only; cross-validation needs it in two: begin with a start "
                f"that shows every class in two images."
            )
    rarest_first = sorted(images, key=lambda label: (len(images[label]), label))
    search = _Search(len(names), folds)
    placed = next(search.solutions([images[label] for label in rarest_first], {}), None)
    if placed is None:
        raise UsageError(
            f"no division of the {len(classes)} annotated images into {folds} folds was found that has every class in "
            f"two of them; begin with more patches."
        )
    for name in names:
        if name not in placed:
            placed[name] = search.by_size(placed)[0]
    return [sorted(name for name, fold in placed.items() if fold == number) for number in range(folds)]


class _Search:
    """Backtracking over where images go; hardly ever needed, and given up after many steps."""

    def __init__(self, images: int, folds: int) -> None:
        self._images, self._folds = images, folds
        self._steps = iter(range(_STEPS))

    def solutions(self, classes: Sequence[Sequence[str]], placed: Mapping[str, int]) -> Iterator[dict[str, int]]:
        """Ways to place images such that each class, given by its images, is in two folds and no fold stays empty."""
        if next(self._steps, None) is None:
            return
        if not classes:
            if self._folds - len(set(placed.values())) <= self._images - len(placed):
                yield dict(placed)
            return
        images, *others = classes
        used = {placed[name] for name in images if name in placed}
        if len(used) >= 2:
            yield from self.solutions(others, placed)
            return
        for name in images:
            for fold in self.by_size(placed):
                if name not in placed and fold not in used:
                    # The same class again: it may be in one fold only by now.
                    yield from self.solutions(classes, {**placed, name: fold})

    def by_size(self, placed: Mapping[str, int]) -> list[int]:
        """Folds, those with the fewest images first."""
        sizes = np.bincount(list(placed.values()), minlength=self._folds)
        return [int(fold) for fold in np.argsort(sizes, kind="stable")]
