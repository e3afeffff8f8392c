"""From maps to scores of single samples, and from these to medians with their replicates."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.catalog import cache_folder
from harness.spec.attribution import AttributionBenchmark
from harness.spec.errors import UsageError
from harness.statistics import shared_weights
from harness.statistics.order_statistics import medians
from harness.storage import IntegrityError, StorageError, make_folder, read_arrays, seed_of, write_arrays
from harness.tracks.base import Score
from harness.tracks.torch_state import keep_freed_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from harness.metrics.attribution.base import MapMetric
    from harness.metrics.attribution.map_batch import Explain
    from harness.spec.benchmark import Bootstrap
    from harness.tracks.attribution.models import BuiltNetwork
    from harness.tracks.attribution.sources import SampleSet

UNIFORM = "uniform_maps"
"""Not a score of the method but the frame it is read in."""


@dataclass(frozen=True)
class Explained:
    """Maps (n, 1 or c, *spatial) of a network's decisions on samples, and how to ask for more of them."""

    samples: SampleSet
    maps: np.ndarray
    built: BuiltNetwork
    explain: Explain | None
    identity: str
    """Of the network: see `harness.metrics.attribution.forwards.Forwards`."""


def score_maps(
    benchmark: AttributionBenchmark, metrics: Sequence[MapMetric], explained: Explained
) -> dict[str, np.ndarray]:
    """Scores (n,) float64 of every metric. What depends on no map is shared by all methods through the cache."""
    import torch

    from harness.metrics.attribution.explanations import Explanations
    from harness.metrics.attribution.forwards import Forwards

    torch.set_num_threads(1)  # several threads only get in each other's way for networks this small
    keep_freed_memory()
    samples = explained.samples
    positive = benchmark.maps == "positive"
    explain = None if explained.explain is None else Explanations(_limited(explained.explain, positive))
    forwards = Forwards(
        explained.built.network,
        representation=explained.built.anatomy.representation,
        store=CacheStore(),
        identity=explained.identity,
        prepare=True,
    )
    maps = torch.from_numpy(explained.maps)
    given = (
        torch.from_numpy(samples.inputs),
        torch.from_numpy(samples.targets),
        maps.clamp_min(0) if positive else maps,
    )
    masks = None if samples.masks is None else torch.from_numpy(samples.masks)
    scores = {}
    for metric in metrics:
        generator = _generator(benchmark, metric.id)
        try:
            values = metric(forwards, *given, explain=explain, masks=masks, generator=generator)
        except ValueError as error:  # constants that do not suit these samples
            raise UsageError(f"{metric.id} cannot be computed with its constants: {str(error).rstrip('.')}.") from error
        scores[metric.id] = values.numpy()
    return scores


class CacheStore:
    """Keeps shared results in the cache folder. A damaged file is computed anew."""

    def get(self, key: str) -> dict[str, Tensor] | None:
        import torch

        with contextlib.suppress(IntegrityError, OSError):
            return {name: torch.from_numpy(array) for name, array in read_arrays(self._path(key)).items()}
        return None

    def put(self, key: str, values: Mapping[str, Tensor]) -> None:
        path = self._path(key)
        with contextlib.suppress(OSError, StorageError):  # a cache that cannot be written only costs time
            make_folder(path.parent)
            write_arrays(path, {name: value.numpy() for name, value in values.items()}, compressed=False)

    def _path(self, key: str) -> Path:
        return cache_folder() / "forwards" / key[:2] / f"{key}.npz"


def median_score(values: np.ndarray, bootstrap: Bootstrap) -> Score:
    """The median over the samples for which the metric is defined, and of their resamples.

    Networks that saw as many samples share the resamples.
    """
    defined = values[np.isfinite(values)]
    if not len(defined):
        return Score(np.full(1 + bootstrap.replicates, np.nan), 0)
    weights = shared_weights(len(defined), bootstrap.replicates, bootstrap.seed)
    lower, upper = medians(defined[None], weights)
    return Score((lower[0] + upper[0]) / 2, len(defined))


def uniform_share(maps: np.ndarray) -> Score:
    """Share of the maps without any structure: not an error of single samples, but the frame scores are read in."""
    flat = maps.reshape(len(maps), -1)
    return Score(np.array([(flat.min(axis=1) == flat.max(axis=1)).mean()]), len(maps))


def _limited(explain: Explain, positive: bool) -> Explain:
    """Re-explained maps go through the same door as the first ones."""
    if not positive:
        return explain

    def limited(inputs: Tensor, targets: Tensor, **options: object) -> Tensor:
        return explain(inputs, targets, **options).clamp_min(0)  # type: ignore[arg-type]

    return limited


def _generator(benchmark: AttributionBenchmark, metric: str) -> torch.Generator:
    """The metric's own seed: the same for every method, so that draws and forwards can be shared."""
    import torch

    return torch.Generator().manual_seed(seed_of([benchmark.metric_seed, metric]))
