"""Faithfulness as a curve over regions: patches, windows, superpixels or clusters are removed as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import Baseline, MapMetric, check_patch, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards


@dataclass(frozen=True, kw_only=True)
class RegionPerturbation(MapMetric):
    r"""Mean drop of the probability while regions are removed, from the highest mean attribution on.

    $$ \frac{1}{K} \sum_{k=1}^{K} \left( f(x) - \frac{f(x_{k-1}) + f(x_k)}{2} \right) $$

    $x_k$: the input without the first $k$ of $K$ regions; $f$: probability of the target.

    Regions are patches; in point clouds, whose points come in no order, clusters by k-means. Area between the curve
    and the probability of the whole input, divided by the number of steps. Higher is better; in [-1, 1]. Samek et al.
    2017.

    LATEC's reading starts after the first step and is not divided: in [1 - regions, regions - 1]. Its regions are
    windows that begin anywhere in the input, channels (coordinates of points) being an axis as all others: first the one
    of the highest sum of attribution, then always that of those which overlap none before (see
    `harness.metrics.attribution._segments.windows`). The baseline "mean" is that of what the steps before have left.

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

        from harness.metrics.attribution._ordering import area, fill, ties
        from harness.metrics.attribution._segments import patches, segment_places

        if self.reading == "latec":
            return self._latec(forwards, samples)
        if samples.inputs.ndim == 3:
            regions = _superpixels(forwards, samples, 0, self.clusters, self.reading)
        else:
            check_patch(self.patch, samples)
            regions = patches(samples.inputs.shape[2:], self.patch).expand(len(samples), -1)
        order, counts = segment_places(samples.positions, regions, ties(samples, self.reading))
        steps = counts.clamp_max(self.regions)
        most = int(steps.max())
        away = fill(samples, self.baseline, self.reading, order.long().clamp_max(most - 1), most)
        drops = forwards.probability(samples)[:, None] - _segment_curve(forwards, samples, order, steps, away)
        return area(torch.cat([torch.zeros(len(samples), 1, dtype=torch.float64), drops], dim=1), steps)

    def _latec(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import fill, trapezoid
        from harness.metrics.attribution._segments import windows

        check_patch(self.patch, samples)
        shape = samples.inputs.shape[1:]
        found = [windows(one.view(shape), self.patch, self.regions) for one in samples.elements]
        taken, counts = torch.stack([steps for steps, _ in found]), torch.tensor([count for _, count in found])
        steps, most = taken.flatten(1), int(counts.max())
        means = _padded_means(samples.inputs, taken, self.patch - 1, most) if self.baseline == "mean" else None
        away = fill(samples, self.baseline, self.reading, steps.long().clamp_max(most - 1), most, means)
        drops = forwards.probability(samples)[:, None] - _segment_curve(forwards, samples, steps, counts, away)
        return trapezoid(drops, counts)


@dataclass(frozen=True, kw_only=True)
class IROF(MapMetric):
    r"""Iterative removal of features: area over the curve of the probability while superpixels are removed.

    $$ 1 - \frac{1}{K} \sum_{k=1}^{K} \frac{s_{k-1} + s_k}{2}, \quad s_k = \min \left( 1, \frac{f(x_k)}{f(x)} \right) $$

    $x_k$: the input without the first $k$ of $K$ superpixels; $s_0 = 1$; $f$: probability of the target.

    Superpixels (supervoxels; clusters of points by k-means) go from the highest mean attribution on. The curve is the
    probability as a share of that of the whole input, at most 1: a removal that helps the target is no loss. The area
    over it is divided by the number of steps. Higher is better; in [0, 1]. Rieger & Hansen 2020.

    LATEC's reading starts after the first step, has no upper bound to the share, and subtracts the area from the
    number of superpixels. It takes the slices of a volume for channels, and replaces the numbers of a superpixel in the
    first channel (slice, coordinate) only: places within a plane are used as places within the whole input.

    segments: superpixels asked for. clusters: of a point cloud. LATEC takes the baseline "mean" for images, which is
    that of all numbers that the steps before have left, and "black" otherwise.
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

        from harness.metrics.attribution._ordering import area, fill, in_first_plane, running_means, ties, trapezoid
        from harness.metrics.attribution._segments import segment_places

        segments = _superpixels(forwards, samples, self.segments, self.clusters, self.reading)
        order, counts = segment_places(samples.positions, segments, ties(samples, self.reading))
        most, means = int(counts.max()), None
        if self.reading == "latec":
            order = in_first_plane(order, samples.inputs.shape[1:])
            means = running_means(samples.inputs.flatten(1), order, most)
        away = fill(samples, self.baseline, self.reading, order.long().clamp_max(most - 1), most, means)
        share = _segment_curve(forwards, samples, order, counts, away) / forwards.probability(samples)[:, None]
        if self.reading == "latec":
            return counts - trapezoid(share, counts)
        return 1 - area(
            torch.cat([torch.ones(len(share), 1, dtype=torch.float64), share.clamp_max(1.0)], dim=1), counts
        )


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


def _segment_curve(forwards: Forwards, samples: MapBatch, order: Tensor, steps: Tensor, away: Tensor) -> Tensor:
    """Probability (n, most steps) after the removal of the first segments, one more at each of a sample's steps (n,).

    order (n, p or c * p): step at which each position or number is removed; away: what stands in for it.
    """
    import torch

    from harness.metrics.attribution._ordering import blend

    most = int(steps.max())
    numbers = torch.arange(most, dtype=torch.int32)
    perturb = blend(samples.inputs, away, order, torch.zeros_like(numbers), numbers + 1)
    return forwards.curve(samples, most, perturb, wanted=numbers < steps[:, None])


def _padded_means(inputs: Tensor, taken: Tensor, border: int, most: int) -> Tensor:
    """Mean (n, most) of what each step finds, with its edges repeated on all sides, if those before it put the mean."""
    import numpy as np
    import torch

    means = np.empty((len(inputs), most))
    for row, (one, steps) in enumerate(zip(inputs.detach().cpu().numpy(), taken.numpy(), strict=True)):
        left = one
        for step in range(most):
            means[row, step] = np.pad(left, border, mode="edge").mean(dtype=np.float64)
            left = np.where(steps == step, means[row, step].astype(one.dtype), left)
    return torch.from_numpy(means)
