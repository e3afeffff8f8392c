"""Faithfulness as agreement: of maps with the model's response to noise, and of samples whose maps are alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from harness.metrics.attribution.base import MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards


@dataclass(frozen=True, kw_only=True)
class Sufficiency(MapMetric):
    r"""Share of the samples with a similar map for which the model predicts the same class.

    $$
    \frac{1}{|N_i|} \sum_{j \in N_i} [g_j = g_i],
    \quad N_i = \left\{ j \ne i : d(a_i, a_j) \le \tau \max d \right\}
    $$

    $g$: predicted class; $d$: distance of maps; $\tau$: the threshold.

    Higher is better; in [0, 1]; 0 for a sample whose map is like no other. The one metric whose samples speak about
    each other: give it all samples in one call. Maps are taken by |attribution|, and are similar if their distance is
    at most `threshold` times the largest distance of any two. What is the same in all maps does not count. Dasgupta et
    al. 2022.

    LATEC's reading takes maps as they are, neither scaled nor without sign, and goes by chunks of samples, in their
    order: distances are divided by the largest of the chunk from all samples (plus 1e-13), and a standard deviation is
    that of the chunk stacked on all samples, with n - 1. Where a number is the same in all maps, the scaled distance is
    not defined, no map is similar and the score is 0.

    distance: Euclidean with each position divided by its standard deviation over maps, or squared Euclidean. LATEC
    takes the first for images and point clouds, the second for volumes, and thresholds of 0.6 to 0.9 for images,
    0.0002 to 0.75 for volumes, 0.6 to 0.75 for point clouds. chunk: of LATEC's reading; it takes 2.
    """

    id = "sufficiency"
    title = "Sufficiency"
    criterion = "faithfulness"
    direction = "higher"
    range = (0.0, 1.0)
    citation = "Dasgupta et al. 2022, Framework for Evaluating Faithfulness of Local Explanations"

    threshold: float = 0.6
    distance: Literal["seuclidean", "sqeuclidean"] = "seuclidean"
    chunk: int = 2
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, "threshold must lie in [0, 1]")
        require(self.chunk >= 1, "chunk must be at least 1")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        if self.reading == "latec":
            similar = self._similar_within_chunks(samples)
        else:
            distances = self._distances(samples.positions.abs())
            similar = distances <= self.threshold * distances.max()
        similar.fill_diagonal_(False)
        predicted = forwards.base(samples).argmax(dim=1)
        alike = similar & (predicted[:, None] == predicted)
        return alike.sum(dim=1).to(torch.float64) / similar.sum(dim=1).clamp_min(1)

    def _distances(self, maps: Tensor) -> Tensor:
        """(n, n) float64."""
        import torch
        from scipy.spatial.distance import cdist

        values = maps[:, (maps != maps[:1]).any(dim=0)].numpy()
        if not values.size:
            return torch.zeros(len(maps), len(maps), dtype=torch.float64)
        if self.distance == "seuclidean":
            return torch.from_numpy(cdist(values, values, "seuclidean", V=values.var(axis=0)))
        return torch.from_numpy(cdist(values, values, "sqeuclidean"))

    def _similar_within_chunks(self, samples: MapBatch) -> Tensor:
        """(n, n) bool: whether two maps are similar in LATEC's reading, which depends on the first one's chunk."""
        import numpy as np
        import torch
        from scipy.spatial.distance import cdist

        maps = samples.raw_maps.detach().cpu().to(torch.float64).expand(samples.inputs.shape).flatten(1).numpy()
        similar = []
        for start in range(0, len(maps), self.chunk):
            with np.errstate(invalid="ignore"):  # 0 / 0 where a number is the same in all maps
                distances = cdist(maps[start : start + self.chunk], maps, self.distance)
            similar.append(distances / (distances.max() + 1e-13) <= self.threshold)
        return torch.from_numpy(np.concatenate(similar))


@dataclass(frozen=True, kw_only=True)
class Infidelity(MapMetric):
    r"""How badly a map, as a linear model, predicts the change of the target's logit under noise.

    $$
    \frac{\min_{b \ge 0} \sum_d \left( b \, \langle I_d, a \rangle - \Delta_d \right)^2}{\sum_d \Delta_d^2},
    \quad \Delta_d = F(x) - F(x - I_d)
    $$

    $F$: logit of the target; $I_d$: draw $d$ of the noise; $a$: attribution.

    Over `draws` of noise I ~ N(0, noise²), the same for all methods: the mean square of b <I, a> - (F(x) - F(x - I)),
    where the factor b >= 0 fits the map best, divided by the mean square of the change F(x) - F(x - I). So the scale
    of a map does not matter. Noise is the same for all channels of a position. Lower is better; in [0, 1]: 0 for an
    exact linear model, 1 for a map that does not go with the changes, or against them; NaN where nothing changes. Yeh
    et al. 2019, whose optimal scaling may also be negative.

    LATEC's reading: noise in each number, no factor and no division, so that the scale of a map decides; in [0, inf).

    noise: LATEC takes 0.005.
    """

    id = "infidelity"
    title = "Infidelity"
    criterion = "faithfulness"
    direction = "lower"
    range = (0.0, 1.0)
    citation = "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations"

    draws: int = 50
    noise: float = 0.1
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.draws >= 2 and self.noise > 0, "draws must be at least 2 and noise above 0")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        changes = forwards.shared(
            self.id, self.constants, samples, lambda: {"changes": self._changes(forwards, samples)}
        )["changes"]
        noise = self._noise(samples)
        maps = samples.positions
        if self.reading == "latec":
            maps = samples.raw_maps.detach().cpu().to(torch.float64).expand(samples.inputs.shape).flatten(1)
        predicted = [noise(row).flatten(1).to(torch.float64) @ values for row, values in enumerate(maps)]
        return self._misfit(torch.stack(predicted), changes)

    def _misfit(self, predicted: Tensor, changes: Tensor) -> Tensor:
        if self.reading == "latec":
            return (predicted - changes).square().mean(dim=1)
        together = (predicted * changes).sum(dim=1).clamp_min(0.0)
        apart = predicted.square().sum(dim=1) * changes.square().sum(dim=1)
        return (1 - together.square() / apart).clamp_min(0.0)

    def _changes(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        """Change (n, draws) of the target's logit."""
        import torch

        noise = self._noise(samples)

        def perturb(rows: Tensor, draws: Tensor) -> Tensor:
            drawn = [noise(row).index_select(0, draws[rows == row]) for row in rows.unique().tolist()]
            return samples.inputs.index_select(0, rows) - torch.cat(drawn).to(samples.inputs.dtype)

        whole = forwards.base(samples).gather(1, samples.targets[:, None])
        return whole - forwards.curve(samples, self.draws, perturb, read="logit")

    def _noise(self, samples: MapBatch) -> Callable[[int], Tensor]:
        """Draws (draws, 1 or c, *spatial) float32 for the sample of this position, made anew; each is asked for once."""
        import torch

        generators = samples.generators(self.id)
        channels, *spatial = samples.inputs.shape[1:]
        shape = (self.draws, channels if self.reading == "latec" else 1, *spatial)

        @lru_cache(maxsize=1)
        def noise(row: int) -> Tensor:
            return torch.from_numpy(generators[row].standard_normal(shape, dtype="float32")) * self.noise

        return noise
