"""Insertion and deletion: the probability while an input is restored, or taken away, by attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import Baseline, MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards

_PETSIUK = "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models"


@dataclass(frozen=True, kw_only=True)
class Insertion(MapMetric):
    r"""Mean probability while a degraded input is restored, from the highest attribution to the lowest.

    $$ \frac{1}{K} \sum_{k=1}^{K} \frac{f(x_{k-1}) + f(x_k)}{2}, \quad x_0 \; \mathrm{degraded}, \quad x_K = x $$

    $x_k$: the input after $k$ of $K$ steps; $f$: probability of the target.

    Images and volumes start blurred, point clouds with noise N(0, noise²), the same for all methods. Area under the
    curve from the degraded input to the whole one. Higher is better; in [0, 1]. Petsiuk et al. 2018.

    LATEC's reading restores numbers one by one, but with each number of an image the whole pixel; volumes start with
    noise; neither the degraded nor the whole input is looked at.

    step: positions (LATEC: numbers) restored at once; by default as few as make 50 steps or less. LATEC takes 50.
    sigma, kernel: standard deviation and width of the Gaussian blur in pixels; LATEC takes 5 and 15 for ImageNet.
    noise: LATEC takes 2.5 for volumes, 0.05 to 0.2 for point clouds.
    """

    id = "insertion"
    title = "Insertion"
    criterion = "faithfulness"
    direction = "higher"
    range = (0.0, 1.0)
    citation = _PETSIUK

    step: int | None = None
    sigma: float = 5.0
    kernel: int = 15
    noise: float = 0.1
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.step is None or self.step >= 1, "step must be at least 1")
        require(self.sigma > 0 and self.noise > 0, "sigma and noise must be above 0")
        require(self.kernel >= 1 and self.kernel % 2 == 1, "kernel must be odd")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import area, blend, places, step_edges, ties

        start = self._degraded(samples)
        if self.reading == "latec":
            return _latec(forwards, samples, start, samples.inputs, self.step)
        order = places(samples.positions, ties(samples, self.reading))
        edges = step_edges(order.shape[1], self.step, self.reading)
        perturb = blend(start, samples.inputs, order, torch.zeros_like(edges[1:]), edges[:-1])
        curve = forwards.curve(samples, len(edges) - 1, perturb)
        return area(torch.cat([curve, forwards.probability(samples)[:, None]], dim=1))

    def _degraded(self, samples: MapBatch) -> Tensor:
        import numpy as np
        import torch

        inputs = samples.inputs
        if inputs.ndim == 4 or (inputs.ndim == 5 and self.reading == "corrected"):
            parts = [self._blurred(row.detach().cpu().numpy()) for row in inputs]
        else:
            parts = [rng.normal(0.0, self.noise, inputs.shape[1:]) for rng in samples.generators(self.id)]
            parts = [row.detach().cpu().numpy() + part for row, part in zip(inputs, parts, strict=True)]
        return torch.from_numpy(np.stack(parts)).to(inputs.dtype)

    def _blurred(self, one: np.ndarray) -> np.ndarray:
        """Mirrored at the border without repeating it, as torchvision's blur does."""
        from scipy.ndimage import gaussian_filter

        axes, radius = tuple(range(1, one.ndim)), self.kernel // 2
        blurred: np.ndarray = gaussian_filter(one, self.sigma, mode="mirror", radius=radius, axes=axes)
        return blurred


@dataclass(frozen=True, kw_only=True)
class Deletion(MapMetric):
    r"""Mean probability while an input is replaced by the baseline, from the highest attribution to the lowest.

    $$ \frac{1}{K} \sum_{k=1}^{K} \frac{f(x_{k-1}) + f(x_k)}{2}, \quad x_0 = x $$

    $x_k$: the input after $k$ of $K$ steps; $f$: probability of the target.

    Area under the curve from the whole input to none of it. Lower is better; in [0, 1]. Petsiuk et al. 2018.

    LATEC's reading replaces numbers one by one, but with each number of an image the whole pixel; neither the whole
    nor the empty input is looked at.

    step: positions (LATEC: numbers) replaced at once; by default as few as make 50 steps or less. LATEC takes 50.
    """

    id = "deletion"
    title = "Deletion"
    criterion = "faithfulness"
    direction = "lower"
    range = (0.0, 1.0)
    citation = _PETSIUK

    step: int | None = None
    baseline: Baseline = "zero"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.step is None or self.step >= 1, "step must be at least 1")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._ordering import area, blend, fill, places, step_edges, step_of, ties

        order = places(samples.scores(self.reading), ties(samples, self.reading))
        edges = step_edges(order.shape[1], self.step, self.reading)
        away = fill(samples, self.baseline, self.reading, step_of(order, edges), len(edges) - 1)
        if self.reading == "latec":
            return _latec(forwards, samples, samples.inputs, away, self.step)
        perturb = blend(samples.inputs, away, order, torch.zeros_like(edges[1:]), edges[1:])
        curve = forwards.curve(samples, len(edges) - 1, perturb)
        return area(torch.cat([forwards.probability(samples)[:, None], curve], dim=1))


def _latec(forwards: Forwards, samples: MapBatch, start: Tensor, end: Tensor, step: int | None) -> Tensor:
    """Area (n,) under the probability while numbers of `start` become those of `end`, step by step.

    A step that visits only pixels that were visited before changes nothing, and is not run again. NaN for less than
    two states between start and end.
    """
    import torch

    from harness.metrics.attribution._ordering import blend, places, step_edges

    order = places(samples.elements, None)
    edges = step_edges(order.shape[1], step, "latec")[1:-1]
    if len(edges) < 2:
        return torch.full((len(samples),), torch.nan, dtype=torch.float64)
    if samples.inputs.ndim == 4:
        order = order.view(len(samples), samples.inputs.shape[1], -1).amin(dim=1)
    changes = torch.zeros(len(samples), len(edges) + 1, dtype=torch.bool)
    changes.scatter_(1, torch.searchsorted(edges, order, right=True), True)
    wanted = changes[:, :-1]
    curve = forwards.curve(samples, len(edges), blend(start, end, order, torch.zeros_like(edges), edges), wanted=wanted)
    latest = torch.where(wanted, torch.arange(len(edges)), 0).cummax(dim=1).values
    return torch.trapezoid(curve.gather(1, latest), dim=1) / len(edges)
