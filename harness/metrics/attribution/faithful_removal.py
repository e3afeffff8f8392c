"""Faithfulness as a curve: the highest attributions are removed first, and the model is watched at each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from harness.metrics.attribution.base import Baseline, MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards, Perturb

_ODD = tuple(range(1, 100, 2))


@dataclass(frozen=True, kw_only=True)
class PixelFlipping(MapMetric):
    r"""Mean probability while the positions are removed, from the highest attribution to the lowest.

    $$ \frac{1}{K} \sum_{k=1}^{K} \frac{f(x_{k-1}) + f(x_k)}{2} $$

    $x_k$: the input after $k$ of $K$ steps, $x_0$ the whole one; $f$: probability of the target.

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
class ROAD(MapMetric):
    r"""Remove and debias: how often the target stays predicted while the highest attributions are imputed away.

    $$ \frac{1}{|P|} \sum_{p \in P} \left[ g(x_p) = y \right] $$

    $P$: the percentages; $x_p$: the input after imputation; $g$: predicted class, $y$: target.

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

        from harness.metrics.attribution._ordering import blend, in_first_plane, places, ties

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
            order = in_first_plane(order, inputs.shape[1:])
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
