"""Faithfulness as a curve: the highest attributions are removed first, and the model is watched at each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import Baseline, MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards, Perturb

_ODD = tuple(range(1, 100, 2))


@dataclass(frozen=True, kw_only=True)
class PixelFlipping(MapMetric):
    """Mean probability while the positions are removed, from the highest attribution to the lowest.

    Area under the curve from the whole input to none of it, divided by the number of steps. Lower is better; in
    [0, 1]. Bach et al. 2015. LATEC's reading starts after the first step and is not divided: in [0, steps - 1].

    step: positions (LATEC: numbers) removed at once; by default as few as make 50 steps or less. LATEC takes 224 for
    images, 56 for volumes, 32 for point clouds.
    """

    id = "pixel_flipping"
    title = "Pixel flipping"
    criterion = "faithfulness"
    direction = "lower"
    range = (0.0, 1.0)
    citation = (
        "Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance "
        "Propagation"
    )

    step: int | None = None
    baseline: Baseline = "black"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.step is None or self.step >= 1, "step must be at least 1")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import area, blend, fill, places, step_edges, step_of, ties

        scores = samples.scores(self.reading)
        order = places(scores, ties(samples, self.reading))
        edges = step_edges(scores.shape[1], self.step, self.reading)
        count = len(edges) - 1
        away = fill(samples, self.baseline, self.reading, step_of(order, edges), count)
        nothing = torch.zeros_like(edges[1:])
        curve = forwards.curve(samples, count, blend(samples.inputs, away, order, nothing, edges[1:]))
        if self.reading == "latec":
            return torch.trapezoid(curve, dim=1)
        return area(torch.cat([forwards.probability(samples)[:, None], curve], dim=1))


@dataclass(frozen=True, kw_only=True)
class RegionPerturbation(MapMetric):
    """Mean drop of the probability while regions are removed, from the highest mean attribution on.

    Regions are patches; in point clouds, whose points come in no order, clusters by k-means. Area between the curve
    and the probability of the whole input, divided by the number of steps. Higher is better; in [-1, 1]. Samek et al.
    2017. LATEC's reading starts after the first step and is not divided: in [1 - regions, regions - 1]; it ranks sums,
    and takes successive points of a cloud for a patch.

    patch: width of patches, which are smaller at the far borders. regions: how many are removed, all if there are
    fewer. clusters: of a point cloud. LATEC takes patch 14 (18) and regions 10 (20) for images, 4 and 20 for volumes,
    3 and 32 for point clouds.
    """

    id = "region_perturbation"
    title = "Region perturbation"
    criterion = "faithfulness"
    direction = "higher"
    range = (-1.0, 1.0)
    citation = "Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned"

    patch: int = 4
    regions: int = 20
    clusters: int = 16
    baseline: Baseline = "uniform"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.patch >= 1 and self.regions >= 1, "patch and regions must be at least 1")
        require(self.clusters >= 2, "clusters must be at least 2")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import area, ties
        from harness.metrics.attribution._segments import patches, segment_places

        latec = self.reading == "latec"
        if samples.inputs.ndim == 3 and not latec:
            regions = _superpixels(forwards, samples, 0, self.clusters, self.reading)
        else:
            regions = patches(samples.inputs.shape[2:], self.patch).expand(len(samples), -1)
        order, counts = segment_places(samples.positions, regions, ties(samples, self.reading), total=latec)
        steps = counts.clamp_max(self.regions)
        curve = _segment_curve(forwards, samples, order, steps, self.baseline, self.reading)
        drops = forwards.probability(samples)[:, None] - curve
        if latec:
            return torch.trapezoid(drops, dim=1)
        return area(torch.cat([torch.zeros(len(samples), 1, dtype=torch.float64), drops], dim=1), steps)


@dataclass(frozen=True, kw_only=True)
class IROF(MapMetric):
    """Iterative removal of features: area over the curve of the probability while superpixels are removed.

    Superpixels (supervoxels; clusters of points by k-means) go from the highest mean attribution on. The curve is the
    probability as a share of that of the whole input, at most 1: a removal that helps the target is no loss. The area
    over it is divided by the number of steps. Higher is better; in [0, 1]. Rieger & Hansen 2020.

    LATEC's reading starts after the first step, has no upper bound to the share, and subtracts the area from the
    number of superpixels; it takes the slices of a volume for channels.

    segments: superpixels asked for. clusters: of a point cloud. LATEC takes the baseline "mean" for images, whose mean
    is taken over channels too, and "black" otherwise.
    """

    id = "irof"
    title = "Iterative removal of features"
    criterion = "faithfulness"
    direction = "higher"
    range = (0.0, 1.0)
    citation = "Rieger & Hansen 2020, IROF: A Low Resource Evaluation Metric for Explanation Methods"

    segments: int = 100
    clusters: int = 16
    baseline: Baseline = "mean"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.segments >= 2 and self.clusters >= 2, "segments and clusters must be at least 2")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import area, ties
        from harness.metrics.attribution._segments import segment_places

        segments = _superpixels(forwards, samples, self.segments, self.clusters, self.reading)
        order, counts = segment_places(samples.positions, segments, ties(samples, self.reading))
        curve = _segment_curve(forwards, samples, order, counts, self.baseline, self.reading)
        share = curve / forwards.probability(samples)[:, None]
        if self.reading == "latec":
            return counts - area(share, counts - 1) * (counts - 1)
        return 1 - area(
            torch.cat([torch.ones(len(share), 1, dtype=torch.float64), share.clamp_max(1.0)], dim=1), counts
        )


@dataclass(frozen=True, kw_only=True)
class ROAD(MapMetric):
    """Remove and debias: how often the target stays predicted while the highest attributions are imputed away.

    The highest `percentages` of the pixels or voxels become weighted means of their neighbours (see
    `harness.metrics.attribution._imputation`), plus N(0, noise²); points of a cloud, which have no neighbours, are
    moved by N(0, noise²). Share of the percentages at which the target is predicted. Lower is better; in [0, 1]. Rong
    et al. 2022.

    LATEC's reading adds noise to numbers of volumes, too, and takes the area under the curve of zeros and ones: in
    [0, percentages - 1].

    noise: the same for all methods. LATEC takes 0.1 for images, 2.5 to 50 for volumes, 0.02 to 0.3 for point clouds.
    """

    id = "road"
    title = "Remove and debias"
    criterion = "faithfulness"
    direction = "lower"
    range = (0.0, 1.0)
    citation = "Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods"

    percentages: tuple[int | float, ...] = _ODD
    noise: float = 0.1
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        ascending = all(low < high for low, high in zip(self.percentages, self.percentages[1:], strict=False))
        require(
            len(self.percentages) >= 2 and ascending and self.percentages[0] > 0 and self.percentages[-1] < 100,
            "percentages must be two or more, ascending, between 0 and 100",
        )
        require(self.noise >= 0, "noise must not be negative")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import blend, places, ties

        inputs, latec = samples.inputs, self.reading == "latec"
        moved = inputs.ndim == 3 or (latec and inputs.ndim == 5)
        scores = samples.scores(self.reading) if moved else samples.positions
        order = places(scores, ties(samples, self.reading))
        removed = torch.tensor([int(scores.shape[1] * each // 100) for each in self.percentages], dtype=torch.int32)
        noise = self._noise(samples)
        if moved:
            perturb = blend(inputs, inputs + noise, order, torch.zeros_like(removed), removed)
        else:
            perturb = _imputing(inputs, noise, order, removed)
        correct = forwards.curve(samples, len(removed), perturb, read="correct")
        return torch.trapezoid(correct, dim=1) if latec else correct.mean(dim=1)

    def _noise(self, samples: MapBatch) -> Tensor:
        import numpy as np
        import torch

        drawn = [rng.normal(0.0, self.noise, samples.inputs.shape[1:]) for rng in samples.generators(self.id)]
        return torch.from_numpy(np.stack(drawn)).to(samples.inputs.dtype)


def _superpixels(forwards: Forwards, samples: MapBatch, segments: int, clusters: int, reading: Reading) -> Tensor:
    from harness.metrics.attribution._segments import superpixels

    constants = {"segments": segments, "clusters": clusters, "reading": reading}
    if samples.inputs.ndim == 3:
        constants = {"clusters": clusters}
    return forwards.shared(
        "superpixels",
        constants,
        samples,
        lambda: {"segments": superpixels(samples, segments, clusters, reading)},
    )["segments"]


def _segment_curve(
    forwards: Forwards, samples: MapBatch, order: Tensor, steps: Tensor, baseline: Baseline, reading: Reading
) -> Tensor:
    """Probability (n, most steps) after the removal of the first segments, one more at each of a sample's steps (n,)."""
    import torch

    from harness.metrics.attribution._ordering import blend, fill

    most = int(steps.max()) if len(steps) else 1
    away = fill(samples, baseline, reading, order.long().clamp_max(most - 1), most)
    numbers = torch.arange(most, dtype=torch.int32)
    perturb = blend(samples.inputs, away, order, torch.zeros_like(numbers), numbers + 1)
    return forwards.curve(samples, most, perturb, wanted=numbers < steps[:, None])


def _imputing(inputs: Tensor, noise: Tensor, order: Tensor, removed: Tensor) -> Perturb:
    """Inputs whose first places, as many as removed[step], are imputed. Rows come in order, all steps of one together."""
    import torch

    from harness.metrics.attribution._imputation import imputed

    @lru_cache(maxsize=1)
    def steps_of(row: int) -> Tensor:
        missing = order[row] < removed[:, None]
        filled = imputed(inputs[row].expand(len(removed), *inputs.shape[1:]), missing)
        return torch.where(missing.view(-1, 1, *inputs.shape[2:]), filled + noise[row], filled)

    def perturb(rows: Tensor, steps: Tensor) -> Tensor:
        return torch.cat([steps_of(row).index_select(0, steps[rows == row]) for row in rows.unique().tolist()])

    return perturb
