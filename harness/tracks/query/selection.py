"""Which patches a score map asks for: best first, without overlap, as nnActive's query step.

Per image, patches of a strided grid are taken in descending order of their mean score unless they overlap an annotated
patch or one taken before; the candidates of all images are then sorted, and the best are the query (nnActive,
Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.tracks.query.aggregation import patch_means
from harness.tracks.query.geometry import Annotated, Box, Corner, Patch, Size, clipped, colliding, within

ScoreMaps = Mapping[str, ArrayLike] | Iterable[tuple[str, ArrayLike]]
"""Score maps by image name, as a mapping or as a stream that is read once; higher = query first."""

_LOOK_AHEAD = 1024  # positions checked at once for the next free one
_SAMPLE = 1 << 16  # positions that estimate how many lie above a score
_TAKEN = -np.inf  # in place of the score of a position that is not free any more


class ScoredPatch(NamedTuple):
    """A patch and the mean of the score map in it."""

    image: str
    corner: Corner
    size: Size
    score: float

    @property
    def patch(self) -> Patch:
        return Patch(self.image, self.corner, self.size)


@dataclass(frozen=True)
class PatchGrid:
    """Where patches may lie, and how many an image may give."""

    patch_size: Size
    stride: tuple[int, ...]
    """Low corners are multiples of it."""
    max_per_image: int

    def __post_init__(self) -> None:
        if self.max_per_image < 1:
            raise ValueError(f"max_per_image must be at least 1, got {self.max_per_image}.")


def select_patches(
    maps: ScoreMaps,
    grid: PatchGrid,
    annotated: Annotated,
    budget: int,
    rng: np.random.Generator | None = None,
) -> list[ScoredPatch]:
    """The `budget` best patches of all images, best first.

    Equal scores are ordered at random by `rng`, whatever the order of the images. Without it they are ordered as in
    nnActive: in an image the last position in scan order first, images in their given order. Only one map is in
    memory at a time if `maps` is a stream. ValueError if fewer than `budget` patches fit, for a map that is not
    finite, and for an image that comes twice or whose annotated patches leave it.
    """
    return best_candidates(candidates(maps, grid, annotated, rng), budget, rng)


def candidates(
    maps: ScoreMaps, grid: PatchGrid, annotated: Annotated, rng: np.random.Generator | None = None
) -> list[ScoredPatch]:
    """The patches each image would give, best first, image after image; arguments as `select_patches`."""
    entropy = None if rng is None else rng.integers(1 << 63)
    found: dict[str, list[ScoredPatch]] = {}
    for image, scores in maps.items() if isinstance(maps, Mapping) else maps:
        if image in found:
            raise ValueError(f"image {image!r} has two score maps.")
        # A generator per image: the order of images must not change what an image gives.
        own = None if entropy is None else _generator(int(entropy), image)
        try:
            found[image] = [
                ScoredPatch(image, corner, size, score)
                for corner, size, score in image_candidates(scores, grid, annotated.get(image, ()), own)
            ]
        except ValueError as error:
            raise ValueError(f"image {image!r}: {error}") from error
    return [patch for patches in found.values() for patch in patches]


def best_candidates(
    patches: Collection[ScoredPatch], budget: int, rng: np.random.Generator | None = None
) -> list[ScoredPatch]:
    """The candidates of highest score, best first; equal scores at random, or in their given order without `rng`."""
    if budget < 1:
        raise ValueError(f"the budget must be at least 1 patch, got {budget}.")
    if len(patches) < budget:
        raise ValueError(f"only {len(patches)} patches fit, the budget is {budget}.")
    ordered = list(patches)
    if rng is not None:
        ordered = sorted(ordered)
        ordered = [ordered[i] for i in rng.permutation(len(ordered))]
    return sorted(ordered, key=lambda patch: patch.score, reverse=True)[:budget]


def image_candidates(
    scores: ArrayLike, grid: PatchGrid, annotated: Collection[Box], rng: np.random.Generator | None = None
) -> list[tuple[Corner, Size, float]]:
    """Corner, size and mean score of an image's patches, greedily by score; equal scores as `select_patches`."""
    values = np.asarray(scores)
    means = patch_means(values, clipped(grid.patch_size, values.shape), grid.stride)
    return greedy_patches(means, values.shape, grid, annotated, rng)


def greedy_patches(
    means: NDArray[np.float64],
    shape: Sequence[int],
    grid: PatchGrid,
    annotated: Collection[Box],
    rng: np.random.Generator | None = None,
) -> list[tuple[Corner, Size, float]]:
    """As `image_candidates`, from the scores of an image's patches, as `patch_means` orders them. Uses them up."""
    size = clipped(grid.patch_size, shape)
    taken = [within(box, shape) for box in annotated]
    corners = [np.arange(n) * step for n, step in zip(means.shape, grid.stride, strict=True)]
    for box in taken:
        means[colliding(corners, size, box)] = _TAKEN
    found = []
    for index in islice(_descending(means, rng), grid.max_per_image):
        place = np.unravel_index(index, means.shape)
        corner = tuple(int(at[i]) for at, i in zip(corners, place, strict=True))
        found.append((corner, size, float(means[place])))
        means[colliding(corners, size, (corner, size))] = _TAKEN
    return found


def _generator(entropy: int, image: str) -> np.random.Generator:
    return np.random.default_rng([entropy, *hashlib.sha256(image.encode()).digest()])


def _descending(means: NDArray[np.float64], rng: np.random.Generator | None) -> Iterator[int]:
    """Flat indices of free positions by descending score, while the reader takes positions away between two of them."""
    flat = means.reshape(-1)
    # Few positions are ever read: sort the best of them, and more only when these are used up.
    share = 1 / 32
    while (least := _threshold(flat, share)) is not None:
        best = np.flatnonzero(flat >= least)  # with all of its equals, so that no tie is cut in two
        best = best[::-1] if rng is None else rng.permutation(best)
        best = best[np.argsort(-flat[best], kind="stable")]
        place = 0
        while place < len(best):
            free = np.flatnonzero(flat[best[place : place + _LOOK_AHEAD]] > _TAKEN)
            if len(free):
                yield int(best[place + free[0]])
            place += int(free[0]) + 1 if len(free) else _LOOK_AHEAD
        share = min(1.0, 4 * share)


def _threshold(flat: NDArray[np.float64], share: float) -> float | None:
    """A score which about this share of the free positions reaches, at least one; None if no position is free."""
    sample = flat[:: max(1, len(flat) // _SAMPLE)]
    free = sample[sample > _TAKEN]
    if len(free) == 0:
        free = flat[flat > _TAKEN]
    if len(free) == 0:
        return None
    place = int(len(free) * (1 - share))
    return float(np.partition(free, place)[place])
