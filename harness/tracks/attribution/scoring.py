"""From maps to scores of single samples, and from these to records and summaries."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.catalog import cache_folder
from harness.spec.attribution import AttributionBenchmark
from harness.spec.errors import UsageError
from harness.spec.result import Record, Summary
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError, content_id, read_arrays, write_arrays

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from harness.metrics.attribution.base import MapMetric
    from harness.metrics.attribution.map_batch import Explain
    from harness.tracks.attribution.models import BuiltNetwork
    from harness.tracks.attribution.sources import SampleSet

Values = Mapping[str, "np.ndarray"]
"""metric -> scores of single samples (n,), NaN where undefined."""
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
    samples = explained.samples
    positive = benchmark.maps == "positive"
    explain = None if explained.explain is None else Explanations(_limited(explained.explain, positive))
    forwards = Forwards(
        explained.built.network,
        representation=explained.built.anatomy.representation,
        store=CacheStore(),
        identity=explained.identity,
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
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, {name: value.numpy() for name, value in values.items()}, compressed=False)

    def _path(self, key: str) -> Path:
        return cache_folder() / "forwards" / key[:2] / f"{key}.npz"


def record(metric: str, values: np.ndarray) -> Record:
    """The median over the samples for which the metric is defined."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return Record(metric=metric, value=None, n=0, status="undefined")
    return Record(metric=metric, value=float(np.median(defined)), n=len(defined))


def uniform_share(maps: np.ndarray) -> Record:
    """Share of the maps without any structure: not an error of single samples, but the frame scores are read in."""
    flat = maps.reshape(len(maps), -1)
    share = float((flat.min(axis=1) == flat.max(axis=1)).mean())
    return Record(metric=UNIFORM, value=share, n=len(maps))


def summarize(
    benchmark: AttributionBenchmark, values: Mapping[Unit, Values], inapplicable: Collection[Unit] = ()
) -> tuple[Summary, ...]:
    """Every metric of every group of studies: median over samples, mean over its networks, with a 95 % interval.

    The interval is over samples: all networks of a study see the same samples, so they share the draws. A group in
    which a network to which the method applies has no scores is *incomplete*.
    """
    rows: list[Summary] = []
    for group in dict.fromkeys(study.group for study in benchmark.studies):
        studies = {study.id: study for study in benchmark.studies if study.group == group}
        members = [unit for unit in values if unit.study in studies]
        exempt = sum(unit.study in studies for unit in inapplicable)
        missing = sum(len(study.models) for study in studies.values()) - exempt - len(members)
        for name in dict.fromkeys(metric for study in studies.values() for metric in study.metrics):
            cells = [values[unit][name] for unit in members if name in values[unit]]
            if cells or missing:
                row = Summary(
                    study=group,
                    metric=name,
                    value=None,
                    n=sum(int(np.isfinite(cell).sum()) for cell in cells),
                    seeds=len(cells),
                )
                rows.append(_summarized(row, benchmark, cells, missing))
    return tuple(rows)


def _summarized(row: Summary, benchmark: AttributionBenchmark, cells: list[np.ndarray], missing: int) -> Summary:
    if missing > 0:
        return row.model_copy(update={"status": "incomplete"})
    if not all(np.isfinite(cell).any() for cell in cells):
        return row.model_copy(update={"status": "undefined"})
    value = float(np.mean([np.median(cell[np.isfinite(cell)]) for cell in cells]))
    medians = []
    for cell in cells:
        defined = cell[np.isfinite(cell)]
        # Seeded by the length: networks that saw the same samples share the draws.
        rng = np.random.default_rng([benchmark.bootstrap.seed, len(defined)])
        chosen = rng.integers(len(defined), size=(benchmark.bootstrap.replicates, len(defined)))
        medians.append(np.median(defined[chosen], axis=1))
    low, high = np.percentile(np.mean(medians, axis=0), [2.5, 97.5])
    return row.model_copy(update={"value": value, "low": float(low), "high": float(high)})


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

    return torch.Generator().manual_seed(int(content_id([benchmark.metric_seed, metric])[:8], 16))
