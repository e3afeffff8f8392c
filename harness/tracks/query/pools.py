"""The pool as a strategy sees it: `harness.methods.pool` over the files of a `PoolOffer`.

Arrays are mapped into memory each time they are asked for, copy-on-write: what a strategy does to one reaches neither
the file nor its own later reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.methods.answers import UnusableAnswerError, as_array
from harness.methods.outputs import NotOfferedError
from harness.methods.pool import highest
from harness.spec.method import QueryTask
from harness.tracks.query.aggregation import any_in_patch, patch_means
from harness.tracks.query.geometry import Box, Corner, Size, clipped
from harness.tracks.query.sampling import foreground_patches, random_patches
from harness.tracks.query.selection import PatchGrid, greedy_patches

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.pool import Adjust, Score

Placed = tuple[str, Corner]


def open_pool(meta: Mapping[str, Any], device: str = "cpu") -> OfferedImages | OfferedVolumes:
    """The pool that `meta` describes: a `PoolOffer`'s, with what the track says of the campaign.

    Tensors of images are moved to `device`; those of volumes stay mapped files, which may exceed its memory.
    """
    return OfferedVolumes(meta) if meta["task"] == "segmentation" else OfferedImages(meta, device)


class _PoolFiles:
    """The arrays of an offer."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._folder = Path(meta["folder"])
        self._needs: Sequence[str] = meta["needs"]

    def read(self, name: str, need: str = "") -> np.ndarray:
        """The array of a file. Raises NotOfferedError for one that the strategy did not declare that it `need`s."""
        path = self._folder / f"{name}.npy"
        self.require(need)
        if need and not path.is_file():
            raise NotOfferedError(f"this benchmark does not offer {need}")
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
        return array

    def require(self, need: str) -> None:
        if need and need not in self._needs:
            raise NotOfferedError(f'{need} of the pool are given to who asks for them: declare needs=("{need}",)')

    def tensor(self, name: str, need: str = "", device: str = "cpu") -> Tensor:
        import torch

        return torch.from_numpy(self.read(name, need)).to(device)


class _Offered:
    """What both kinds of pool have."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self.task: QueryTask = meta["task"]
        self.seed = int(meta["entropy"][1])
        self.rehearsal = bool(meta.get("rehearsal", False))
        self.loop, self.loops, self.classes = int(meta["loop"]), int(meta["loops"]), int(meta["classes"])
        self._files = _PoolFiles(meta)


class OfferedImages(_Offered):
    """See `harness.methods.pool.ClassificationPool`."""

    def __init__(self, meta: Mapping[str, Any], device: str = "cpu") -> None:
        super().__init__(meta)
        self._device = device
        self.size: int = self._files.read("probabilities").shape[2]

    @property
    def probabilities(self) -> Tensor:
        return self._files.tensor("probabilities", device=self._device)

    @property
    def inputs(self) -> Tensor:
        return self._files.tensor("inputs", "inputs", self._device)

    @property
    def features(self) -> np.ndarray:
        return self._files.read("features", "features")

    @property
    def labelled_inputs(self) -> Tensor:
        return self._files.tensor("labelled_inputs", "inputs", self._device)

    @property
    def labelled_features(self) -> np.ndarray:
        return self._files.read("labelled_features", "features")

    @property
    def labelled_targets(self) -> np.ndarray:
        return self._files.read("labelled_targets")

    @property
    def rows(self) -> np.ndarray:
        return self._files.read("rows", "names")

    @property
    def labelled_rows(self) -> np.ndarray:
        return self._files.read("labelled_rows", "names")

    def candidates(
        self, score: Score, rng: np.random.Generator, *, adjust: Adjust | None = None, factor: int = 1
    ) -> _ImageCandidates:
        scores = _checked(score(self.probabilities), (self.size,), f"the {self.size} images of the pool")
        return _ImageCandidates(_adjusted(scores.astype(np.float64), adjust, "the images of the pool"), self)

    def best(self, score: Score, budget: int, rng: np.random.Generator, *, adjust: Adjust | None = None) -> np.ndarray:
        self._require(budget)
        return highest(self.candidates(score, rng, adjust=adjust).scores, budget, rng)

    def random(self, budget: int, rng: np.random.Generator) -> np.ndarray:
        self._require(budget)
        return rng.choice(self.size, budget, replace=False)

    def _require(self, budget: int) -> None:
        if budget > self.size:
            raise UnusableAnswerError(f"the pool has {self.size} images left, the budget is {budget}")


@dataclass(frozen=True)
class _ImageCandidates:
    """See `harness.methods.pool.Candidates`: all images of a pool."""

    scores: np.ndarray
    pool: OfferedImages

    def features(self) -> np.ndarray:
        return self.pool.features.astype(np.float64)

    def take(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.asarray(places)


class OfferedVolumes(_Offered):
    """See `harness.methods.pool.SegmentationPool`."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        super().__init__(meta)
        self.patch_size: Size = tuple(meta["patch_size"])
        self.stride: tuple[int, ...] = tuple(meta["stride"])
        self.max_per_image = int(meta["max_per_image"])
        self._oracle = bool(meta["oracle"])
        grid = PatchGrid(self.patch_size, self.stride, self.max_per_image)
        offered = [OfferedVolume(self._files, number, each, grid) for number, each in enumerate(meta["images"])]
        self.images: Sequence[OfferedVolume] = sorted(offered, key=lambda image: image.name)

    @property
    def annotated(self) -> dict[str, list[tuple[Corner, Size]]]:
        return {image.name: image.annotated for image in self.images}

    def candidates(
        self, score: Score, rng: np.random.Generator, *, adjust: Adjust | None = None, factor: int = 1
    ) -> _PatchCandidates:
        found: list[tuple[OfferedVolume, Corner]] = []
        scores: list[float] = []
        for image in self.images:
            means = _adjusted(image.patch_means(score(image.probabilities)), adjust, f"image {image.name!r}")
            for corner, value in image.patches(means, rng, limit=factor * self.max_per_image):
                found.append((image, corner))
                scores.append(value)
        return _PatchCandidates(np.array(scores), found)

    def best(
        self, score: Score, budget: int, rng: np.random.Generator, *, adjust: Adjust | None = None
    ) -> list[Placed]:
        candidates = self.candidates(score, rng, adjust=adjust)
        if len(candidates.scores) < budget:
            raise UnusableAnswerError(
                f"only {len(candidates.scores)} patches of the pool fit, at most {self.max_per_image} an image; "
                f"the budget is {budget}"
            )
        return candidates.take(highest(candidates.scores, budget, rng))

    def random(self, budget: int, rng: np.random.Generator, *, foreground: float = 0.0) -> list[Placed]:
        if foreground and not self._oracle:
            raise UnusableAnswerError("foreground of unlabelled data is known to the harness's own oracles alone")
        try:
            if foreground:
                patches = foreground_patches(_Labels(self), self.patch_size, budget, rng, foreground, self.annotated)
            else:
                shapes = {image.name: image.shape for image in self.images}
                masks = {image.name: image.annotatable for image in self.images if image.partly_labelled}
                patches = random_patches(shapes, self.patch_size, budget, rng, self.annotated, masks)
        except ValueError as error:
            raise UnusableAnswerError(str(error).rstrip(".")) from error
        return [(patch.image, patch.corner) for patch in patches]


class OfferedVolume:
    """See `harness.methods.pool.PoolImage`. `number` is its place in the offer."""

    def __init__(self, files: _PoolFiles, number: int, described: Mapping[str, Any], grid: PatchGrid) -> None:
        self._files, self._grid = files, grid
        self.number = number
        self.name: str = described["name"]
        self.shape: tuple[int, ...] = tuple(described["shape"])
        self.annotated: list[tuple[Corner, Size]] = [
            (tuple(corner), self.shape if size == "whole" else tuple(size)) for corner, size in described["annotated"]
        ]
        self.partly_labelled = bool(described.get("partly_labelled", False))
        self._source = described.get("source", "")

    @property
    def patch_size(self) -> Size:
        """Of its patches: the protocol's, clipped to the image."""
        return clipped(self._grid.patch_size, self.shape)

    @property
    def source(self) -> str:
        self._files.require("names")
        return str(self._source)

    @property
    def probabilities(self) -> Tensor:
        return self._files.tensor(f"{self.number}.probabilities")

    @property
    def image(self) -> np.ndarray:
        return self._files.read(f"{self.number}.image", "inputs")

    @property
    def labels(self) -> np.ndarray:
        return self._files.read(f"{self.number}.labels")

    @property
    def annotatable(self) -> np.ndarray:
        if self.partly_labelled:
            return self._files.read(f"{self.number}.annotatable")
        return np.broadcast_to(np.True_, self.shape)

    @property
    def features(self) -> np.ndarray:
        """(d, *coarse): of the encoder, on a coarse grid that covers the image evenly."""
        return self._files.read(f"{self.number}.features", "features")

    def patch_means(self, scores: Any) -> np.ndarray:
        values = _checked(scores, self.shape, f"image {self.name!r}")
        return patch_means(values, self.patch_size, self._grid.stride)

    def patches(
        self, means: np.ndarray, rng: np.random.Generator, *, limit: int | None = None, taken: Sequence[Corner] = ()
    ) -> list[tuple[Corner, float]]:
        values = as_array(means).astype(np.float64)  # a copy, which the choice uses up
        if self.partly_labelled:
            values[~any_in_patch(self.annotatable, self.patch_size, self._grid.stride)] = -np.inf
        grid = self._grid if limit is None else replace(self._grid, max_per_image=limit)
        boxes: list[Box] = [*self.annotated, *((tuple(corner), self.patch_size) for corner in taken)]
        return [(corner, score) for corner, _, score in greedy_patches(values, self.shape, grid, boxes, rng)]


@dataclass(frozen=True)
class _PatchCandidates:
    """See `harness.methods.pool.Candidates`: patches without overlap."""

    scores: np.ndarray
    places: list[tuple[OfferedVolume, Corner]]

    def features(self) -> np.ndarray:
        read: dict[str, np.ndarray] = {}
        rows = []
        for image, corner in self.places:
            if image.name not in read:
                read = {image.name: np.asarray(image.features, dtype=np.float64)}  # one at a time: they can be large
            rows.append(_mean_in(read[image.name], image.shape, corner, image.patch_size))
        return np.array(rows)

    def take(self, places: Sequence[int] | np.ndarray) -> list[Placed]:
        chosen = (self.places[place] for place in np.asarray(places).tolist())
        return [(image.name, corner) for image, corner in chosen]


class _Labels(Mapping[str, np.ndarray]):
    """Label maps by image, read on access."""

    def __init__(self, pool: OfferedVolumes) -> None:
        self._images = {image.name: image for image in pool.images}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._images[name].labels

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)


def _mean_in(features: np.ndarray, shape: Sequence[int], corner: Corner, size: Size) -> np.ndarray:
    """(d,): the mean over a box of features (d, *coarse), each of which fills its cell of the image."""
    for extent, low, length in reversed(list(zip(shape, corner, size, strict=True))):
        borders = np.linspace(0, extent, features.shape[-1] + 1)
        inside = np.clip(borders[1:], low, low + length) - np.clip(borders[:-1], low, low + length)
        features = features @ (inside / length)
    return features


def _checked(answer: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """A strategy's scores. Raises UnusableAnswerError for what is not a finite number for each position."""
    scores = as_array(answer)
    if scores.dtype.kind not in "biuf":
        raise UnusableAnswerError(f"its scores of {where} have dtype {scores.dtype}; scores are real numbers")
    if scores.shape != shape:
        raise UnusableAnswerError(f"its scores of {where} have shape {scores.shape}, expected {shape}")
    bad = scores.size - int(np.count_nonzero(np.isfinite(scores)))
    if bad:
        raise UnusableAnswerError(f"{bad} of {scores.size} scores of {where} are NaN or infinite")
    return scores


def _adjusted(scores: np.ndarray, adjust: Callable[[np.ndarray], np.ndarray] | None, where: str) -> np.ndarray:
    """Scores after `adjust`, where -inf, as the logarithm of zero, stands behind all others."""
    if adjust is None:
        return scores
    with np.errstate(divide="ignore"):
        answer = as_array(adjust(scores)).astype(np.float64)
    return _checked(
        np.where(np.isneginf(answer), np.finfo(np.float64).min, answer), scores.shape, f"{where}, adjusted,"
    )
