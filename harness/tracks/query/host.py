"""What the method worker does for a query strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.methods.answers import UnusableAnswerError, as_array
from harness.spec.result import Passes
from harness.tracks.query.pools import OfferedImages, OfferedVolume, OfferedVolumes, open_pool
from harness.tracks.torch_state import torch_defaults


class QueryHost:
    """Holds a user's strategy. Verbs: begin, query."""

    def __init__(self, definition: Any, device: str) -> None:
        self._definition = definition
        self._device = device
        self._strategy: Any = definition

    def passes(self) -> Passes | None:
        """None: strategies are given what networks said, never a network."""
        return None

    @property
    def verbs(self) -> Mapping[str, Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, np.ndarray]]]:
        return {"begin": self.begin, "query": self.query}

    def begin(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Begin with a new pool: make a new object of a class."""
        self._strategy = self._definition() if isinstance(self._definition, type) else self._definition
        return {}

    def query(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What to annotate next, as `picks` int64: (budget, 1) numbers of images, or (budget, 1 + axes) the number of
        an image in `meta["images"]` and a low corner. How many there are, and whether they fit, is for who asked."""
        pool, rng = open_pool(meta, self._device), np.random.default_rng(meta["entropy"])
        ask = getattr(self._strategy, "query", None)
        with torch_defaults():
            if ask is not None:
                answer = ask(pool, meta["budget"], rng)
            else:
                answer = pool.best(self._strategy, meta["budget"], rng)
        return {"picks": _patches(answer, pool) if isinstance(pool, OfferedVolumes) else _images(answer, pool)}


def _images(answer: Any, pool: OfferedImages) -> np.ndarray:
    numbers = as_array(answer)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise UnusableAnswerError(
            f"it returned shape {numbers.shape} of {numbers.dtype}; a query is a list of whole numbers, "
            f"from 0 to {pool.size - 1}"
        )
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < pool.size:
        raise UnusableAnswerError(f"it asked for an image outside of the pool, which are numbers 0 to {pool.size - 1}")
    return numbers.astype(np.int64)[:, None]


def _patches(answer: Any, pool: OfferedVolumes) -> np.ndarray:
    axes = len(pool.patch_size)
    if isinstance(answer, (str, bytes, Mapping)) or not hasattr(answer, "__iter__"):
        raise UnusableAnswerError(f"it returned {type(answer).__name__}, not a list of patches (image name, corner)")
    images = {image.name: image for image in pool.images}
    rows = [_row(patch, f"patch {place}", images) for place, patch in enumerate(answer)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 1 + axes)


def _row(patch: Any, which: str, images: Mapping[str, OfferedVolume]) -> list[int]:
    """The number of an image and the low corner, of (name, corner[, size]) or an object with these fields."""
    name, corner, size = _fields(patch, which)
    image = images.get(name) if isinstance(name, str) else None
    if image is None:
        raise UnusableAnswerError(f"{which} lies in {name!r}, which is not the name of an image of the pool")
    low = _voxels(corner, len(image.shape))
    if low is None or any(abs(at) > 2**62 for at in low):
        raise UnusableAnswerError(
            f"{which} has the corner {corner!r}, which should be {len(image.shape)} whole numbers in array order"
        )
    whole = isinstance(size, str) and size == "whole"
    if size is not None and image.patch_size != (image.shape if whole else _voxels(size, len(image.shape))):
        raise UnusableAnswerError(f"{which} has size {size!r}, the protocol's is {image.patch_size} in {name!r}")
    return [image.number, *low]


def _fields(patch: Any, which: str) -> tuple[Any, Any, Any]:
    if hasattr(patch, "image") and hasattr(patch, "corner"):
        return patch.image, patch.corner, getattr(patch, "size", None)
    if isinstance(patch, Sequence) and not isinstance(patch, (str, bytes)) and len(patch) in (2, 3):
        return patch[0], patch[1], patch[2] if len(patch) == 3 else None
    raise UnusableAnswerError(f"{which} is {patch!r:.80}, not (image name, corner) or (image name, corner, size)")


def _voxels(value: Any, axes: int) -> tuple[int, ...] | None:
    """Whole numbers, one an axis, or None for anything else."""
    try:
        numbers = as_array(value)
    except UnusableAnswerError:
        return None
    if numbers.dtype.kind not in "iu" or numbers.shape != (axes,):
        return None
    return tuple(int(number) for number in numbers)
