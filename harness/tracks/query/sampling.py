"""Random patches: uniform, with a share of foreground, and the starting budget that every strategy gets.

The rules are those of nnActive (Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive), with every free position
equally likely: the last one of an axis counts too, patches of odd length stay inside, and a position is drawn among
the free ones instead of tried until one fits, so that no draw can go on for ever.
Results depend on the generator and the names of the images, not on their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tracks.query.aggregation import any_in_patch
from harness.tracks.query.geometry import Annotated, Corner, Patch, Size, clipped, colliding, within

Labels = Mapping[str, NDArray[Any]]
"""Label maps of integers by image name, 0 = background; may load them on access.

Where a label is negative, the data set has none: no patch is drawn that holds no others.
"""
Mask = NDArray[np.bool_]
Masks = Mapping[str, Mask]
"""Where labels can be bought, by image name; of images that are not named, everywhere."""
Draw = Callable[[str, "list[tuple[Corner, Size]]"], "tuple[Corner, Size] | None"]
"""A box of an image that overlaps none of the taken ones, or None if there is none."""


def random_patches(
    shapes: Mapping[str, Sequence[int]],
    patch_size: Sequence[int],
    count: int,
    rng: np.random.Generator,
    annotated: Annotated | None = None,
    annotatable: Masks | None = None,
) -> list[Patch]:
    """`count` patches, image after image in a shuffled cycle, each uniform over the free positions of its image.

    No patch is drawn in which nothing is `annotatable`. An image without a free position is left out. ValueError if fewer than `count` patches fit.
    """
    pool = _Pool(shapes, annotated, rng)

    def draw(image: str, taken: list[tuple[Corner, Size]]) -> tuple[Corner, Size] | None:
        return _anywhere(shapes[image], patch_size, taken, rng, (annotatable or {}).get(image))

    return [pool.place(draw, f"any of the {count} patches") for _ in range(count)]


def foreground_patches(
    labels: Labels,
    patch_size: Sequence[int],
    count: int,
    rng: np.random.Generator,
    share: float,
    annotated: Annotated | None = None,
) -> list[Patch]:
    """`count` patches of which `share` are centred on the foreground (nnActive: 1/3 "random-label2", 2/3
    "random-label"), half of these on a voxel of a class, half on one of its border.

    For each, images are tried in a shuffled cycle: draw one of the foreground classes that have a free voxel in the
    image, then one of these voxels; the patch around it is shifted into the image. The remaining patches are those of
    `random_patches`. ValueError if a patch of the drawn kind fits in no image.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of foreground must lie in [0, 1], got {share!r}.")
    shapes = {image: labels[image].shape for image in labels}
    pool = _Pool(shapes, annotated, rng)
    chances = [1 - share, share / 2, share / 2]
    found: list[Patch] = []
    for _ in range(count):
        area = rng.choice(["all", "segmentation", "border"], p=chances)

        def draw(image: str, taken: list[tuple[Corner, Size]], area: str = area) -> tuple[Corner, Size] | None:
            if area == "all":
                return _anywhere(shapes[image], patch_size, taken, rng, labels[image] >= 0)
            return _on_a_class(labels[image], patch_size, taken, rng, border=area == "border")

        found.append(pool.place(draw, f"patch {len(found) + 1} of {count} ({area})"))
    return found


def starting_patches(
    labels: Labels,
    patch_size: Sequence[int],
    count: int,
    rng: np.random.Generator,
    *,
    share: float = 1 / 3,
    ignore: int | None = None,
) -> list[Patch]:
    """The first query, nnActive's "random-label2-all-classes" (share 2/3: "random-label-all-classes").

    Every class, background included and `ignore` not, gets two images with one patch each, centred on a random
    voxel of the class; an image serves one class only, and the class with the fewest images left chooses first (of
    equals, the lowest). The rest are `foreground_patches`. ValueError if a class finds fewer than two images, or if
    `count` does not hold two patches per class.
    """
    images = _images_by_class(labels, ignore)
    if count < 2 * len(images):
        raise ValueError(f"{len(images)} classes with two patches each do not fit a starting budget of {count}.")
    found: list[Patch] = []
    while images:
        label = min(images, key=lambda c: (len(images[c]), c))
        names = images.pop(label)
        if len(names) < 2:
            raise ValueError(f"class {label} has {len(names)} images left that serve no other class, it needs two.")
        for image in rng.permutation(np.array(names))[:2].tolist():
            box = _around(labels[image] == label, patch_size, [], rng)
            assert box is not None  # the image has the class, and nothing is taken
            found.append(Patch(image, *box))
            images = {other: [name for name in left if name != image] for other, left in images.items()}
    taken = {patch.image: [patch.box] for patch in found}
    visible = labels if ignore is None else _Without(labels, ignore)
    return found + foreground_patches(visible, patch_size, count - len(found), rng, share, taken)


class _Pool:
    """Images in a shuffled cycle, and what is taken in each."""

    def __init__(
        self, shapes: Mapping[str, Sequence[int]], annotated: Annotated | None, rng: np.random.Generator
    ) -> None:
        self._cycle: list[str] = rng.permutation(np.array(sorted(shapes), dtype=object)).tolist()
        self._taken = {
            image: [within(box, shapes[image]) for box in (annotated or {}).get(image, ())] for image in shapes
        }

    def place(self, draw: Draw, what: str) -> Patch:
        """The next patch, of the first image in the cycle that has one; the cycle goes on behind it."""
        for step, image in enumerate(self._cycle):
            box = draw(image, self._taken[image])
            if box is not None:
                self._taken[image].append(box)
                self._cycle = self._cycle[step + 1 :] + self._cycle[: step + 1]
                return Patch(image, *box)
        raise ValueError(f"no image has room for {what}.")


class _Without(Mapping[str, NDArray[Any]]):
    """Label maps where one label is turned into background."""

    def __init__(self, labels: Labels, label: int) -> None:
        self._labels, self._label = labels, label

    def __getitem__(self, image: str) -> NDArray[Any]:
        labels = self._labels[image]
        return np.where(labels == self._label, np.zeros((), dtype=labels.dtype), labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)


def _images_by_class(labels: Labels, ignore: int | None) -> dict[int, list[str]]:
    images: dict[int, list[str]] = {}
    for image in sorted(labels):
        for label in np.unique(labels[image]).tolist():
            if label >= 0 and label != ignore:
                images.setdefault(label, []).append(image)
    return images


def _anywhere(
    shape: Sequence[int],
    patch_size: Sequence[int],
    taken: Collection[tuple[Corner, Size]],
    rng: np.random.Generator,
    annotatable: Mask | None = None,
) -> tuple[Corner, Size] | None:
    size = clipped(patch_size, shape)
    corners = [np.arange(end - extent + 1) for end, extent in zip(shape, size, strict=True)]
    if annotatable is None or annotatable.all():
        places = np.ones([len(at) for at in corners], dtype=bool)
    else:
        places = any_in_patch(annotatable, size, (1,) * len(size))
    return _pick(places, corners, size, taken, rng)


def _on_a_class(
    labels: NDArray[Any],
    patch_size: Sequence[int],
    taken: Collection[tuple[Corner, Size]],
    rng: np.random.Generator,
    *,
    border: bool,
) -> tuple[Corner, Size] | None:
    present = np.unique(labels[labels > 0])
    for label in rng.permutation(present):  # the first with a free voxel: any of these with equal chance
        mask = labels == label
        box = _around(_border(mask) if border else mask, patch_size, taken, rng)
        if box is not None:
            return box
    return None


def _border(mask: Mask) -> Mask:
    """Voxels of the mask with a face neighbour outside of it or of the image."""
    from scipy.ndimage import binary_erosion, generate_binary_structure

    inner: Mask = binary_erosion(mask, generate_binary_structure(mask.ndim, 1))
    return mask & ~inner


def _around(
    mask: Mask, patch_size: Sequence[int], taken: Collection[tuple[Corner, Size]], rng: np.random.Generator
) -> tuple[Corner, Size] | None:
    """The patch around a random voxel of the mask, among those whose patch is free."""
    size = clipped(patch_size, mask.shape)
    corners = [np.clip(np.arange(n) - p // 2, 0, n - p) for n, p in zip(mask.shape, size, strict=True)]
    return _pick(mask.copy(), corners, size, taken, rng)


def _pick(
    mask: Mask,
    corners: Sequence[NDArray[np.intp]],
    size: Size,
    taken: Collection[tuple[Corner, Size]],
    rng: np.random.Generator,
) -> tuple[Corner, Size] | None:
    """A box at a random True position of the grid that overlaps nothing taken; `mask` is used up."""
    for box in taken:
        mask[colliding(corners, size, box)] = False
    per_plane = np.count_nonzero(mask.reshape(len(mask), -1), axis=1)
    free = int(per_plane.sum())
    if free == 0:
        return None
    # The k-th free position, found plane by plane: a list of all of them could be far larger than the mask.
    chosen = int(rng.integers(free))
    plane = int(np.searchsorted(np.cumsum(per_plane), chosen, side="right"))
    rank = chosen - int(per_plane[:plane].sum())
    place = (plane, *np.unravel_index(np.flatnonzero(mask[plane])[rank], mask.shape[1:]))
    return tuple(int(at[i]) for at, i in zip(corners, place, strict=True)), size
