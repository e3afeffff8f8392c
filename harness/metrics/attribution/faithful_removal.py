"""Faithfulness as a curve: the highest attributions are removed first, and the model is watched at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from harness.metrics.attribution.base import Baseline, MapMetric, check_patch, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards, Perturb

_ODD = tuple(range(1, 100, 2))


@dataclass(frozen=True, kw_only=True)
class PixelFlipping(MapMetric):
    """Mean probability while the positions are removed, from the highest attribution to the lowest.

    Area under the curve from the whole input to none of it, divided by the number of steps. Lower is better; in
    [0, 1]. Bach et al. 2015. LATEC's reading starts after the first step and is not divided: in [0, steps - 1]; the
    baseline "mean" is that of what the steps before have left.

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

        from harness.metrics.attribution._ordering import (
            area,
            blend,
            fill,
            places,
            running_means,
            step_edges,
            step_of,
            ties,
        )

        scores = samples.scores(self.reading)
        order = places(scores, ties(samples, self.reading))
        edges = step_edges(scores.shape[1], self.step, self.reading)
        count = len(edges) - 1
        steps = step_of(order, edges)
        means = running_means(samples.inputs.flatten(1), steps, count) if self.reading == "latec" else None
        away = fill(samples, self.baseline, self.reading, steps, count, means)
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
    """Iterative removal of features: area over the curve of the probability while superpixels are removed.

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

        from harness.metrics.attribution._ordering import area, fill, running_means, ties, trapezoid
        from harness.metrics.attribution._segments import segment_places

        segments = _superpixels(forwards, samples, self.segments, self.clusters, self.reading)
        order, counts = segment_places(samples.positions, segments, ties(samples, self.reading))
        most, means = int(counts.max()), None
        if self.reading == "latec":
            order = _in_first_plane(order, samples.inputs.shape[1:])
            means = running_means(samples.inputs.flatten(1), order, most)
        away = fill(samples, self.baseline, self.reading, order.long().clamp_max(most - 1), most, means)
        share = _segment_curve(forwards, samples, order, counts, away) / forwards.probability(samples)[:, None]
        if self.reading == "latec":
            return counts - trapezoid(share, counts)
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
    [0, percentages - 1]. Points of a cloud, ranked by the mean of their coordinates' attributions, are moved along the
    first coordinate only, and a percentage is of their coordinates, so that from 34 % on all points are moved. The
    noise is one draw for all percentages, where LATEC draws anew for each.

    noise: the same for all methods. LATEC takes 0.1 for images, 2.5 to 50 for volumes, 0.02 to 0.3 for point clouds.
    counted: what a percentage of an image is of in LATEC's reading. "pixels" is how its published scores were made:
    their curves do not end at 34 %. "numbers" is what the newest code of its Quantus fork (119dd1d) does: it removes as
    many pixels as that percentage of the numbers of all channels, so that of an image with three nothing is left from
    34 % on; such an image becomes zeros.
    """

    id = "road"
    title = "Remove and debias"
    criterion = "faithfulness"
    direction = "lower"
    range = (0.0, 1.0)
    citation = "Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods"

    percentages: tuple[int | float, ...] = _ODD
    noise: float = 0.1
    counted: Literal["pixels", "numbers"] = "pixels"
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
        whole_volume = latec and inputs.ndim == 5
        order = places(samples.elements if whole_volume else samples.positions, ties(samples, self.reading))
        total = order.shape[1]
        if latec and (inputs.ndim == 3 or (inputs.ndim == 4 and self.counted == "numbers")):
            total = order.shape[1] * inputs.shape[1]
        removed = torch.tensor([int(total * each // 100) for each in self.percentages], dtype=torch.int32)
        removed = removed.clamp_max(order.shape[1])
        noise = self._noise(samples)
        if latec and inputs.ndim == 3:
            order = _in_first_plane(order, inputs.shape[1:])
        if whole_volume or inputs.ndim == 3:
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


def _in_first_plane(order: Tensor, shape: Sequence[int]) -> Tensor:
    """Order (n, c * p) of single numbers where only the first channel, or slice of a volume, has that of positions."""
    import torch

    volume = len(shape) == 4
    plane = math.prod(shape[2:] if volume else shape[1:])
    never = torch.full((len(order), math.prod(shape)), torch.iinfo(torch.int32).max, dtype=torch.int32)
    never[:, :plane] = order[:, :plane]
    return never


def _imputing(inputs: Tensor, noise: Tensor, order: Tensor, removed: Tensor) -> Perturb:
    """Inputs whose first places, as many as removed[step], are imputed. Rows come in order, all steps of one together.

    An input of which nothing is known becomes zeros.
    """
    import torch

    from harness.metrics.attribution._imputation import imputed

    @lru_cache(maxsize=1)
    def steps_of(row: int) -> Tensor:
        missing = order[row] < removed[:, None]
        known = ~missing.all(dim=1)
        filled = torch.zeros(len(removed), *inputs.shape[1:], dtype=inputs.dtype)
        filled[known] = imputed(inputs[row].expand(int(known.sum()), *inputs.shape[1:]), missing[known])
        return torch.where(missing.view(-1, 1, *inputs.shape[2:]), filled + noise[row], filled)

    def perturb(rows: Tensor, steps: Tensor) -> Tensor:
        return torch.cat([steps_of(row).index_select(0, steps[rows == row]) for row in rows.unique().tolist()])

    return perturb
