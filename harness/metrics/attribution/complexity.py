"""Complexity: how few positions a map says it all with. The sign of the attribution does not count.

Corrected reading: of positions (pixels, voxels, points), whose channels are averaged, so that a method that
answers with one channel and one that answers with all are measured alike. LATEC's: of every number of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards

_FLOOR = 1e-9
"""What LATEC adds to each |attribution| before it takes the Gini index."""


@dataclass(frozen=True, kw_only=True)
class Sparseness(MapMetric):
    r"""Gini index of the |attributions|.

    $$ \frac{\sum_{i=1}^{N} (2 i - N - 1) \, |a|_{(i)}}{N \sum_{i=1}^{N} |a|_{(i)}} $$

    $|a|_{(i)}$: the sizes of the $N$ attributions in ascending order.

    Higher is better; in [0, 1): 0 for a map that is constant or zero everywhere, 1 - 1/N where one of N positions
    holds all. Chalasani et al. 2020.
    """

    id = "sparseness"
    title = "Sparseness"
    criterion = "complexity"
    direction = "higher"
    range = (0.0, 1.0)
    citation = "Chalasani et al. 2020, Concise Explanations of Neural Networks using Adversarial Training"

    reading: Reading = "corrected"

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        ascending = samples.scores(self.reading).abs().sort(dim=1).values
        if self.reading == "latec":
            ascending = ascending + _FLOOR
        count = ascending.shape[1]
        weights = 2 * torch.arange(1, count + 1, dtype=torch.float64) - count - 1
        gini: Tensor = (ascending @ weights) / (count * ascending.sum(dim=1))
        return gini.clamp_min(0.0)  # rounding may leave -1e-17 of a constant map


@dataclass(frozen=True, kw_only=True)
class Complexity(MapMetric):
    r"""Entropy, in nats, of the |attributions| as shares of their sum.

    $$ - \sum_i p_i \ln p_i, \quad p_i = \frac{|a_i|}{\sum_j |a_j|} $$

    Lower is better; in [0, ln N]: 0 where one of N positions holds all, ln N for a map that is constant or zero
    everywhere. Bhatt et al. 2020.
    """

    id = "complexity"
    title = "Complexity"
    criterion = "complexity"
    direction = "lower"
    range = (0.0, math.inf)
    citation = "Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations"

    reading: Reading = "corrected"

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        size = samples.scores(self.reading).abs()
        share = size / size.sum(dim=1, keepdim=True)
        entropy: Tensor = torch.special.entr(share).sum(dim=1)
        return entropy


@dataclass(frozen=True, kw_only=True)
class EffectiveComplexity(MapMetric):
    r"""How many positions have an |attribution| above `epsilon` times the largest.

    $$ \sum_i [ |a_i| > \epsilon \max_j |a_j| ] $$

    Lower is better; in [1, N]: N for a map that is constant or zero everywhere. Nguyen & Martínez 2020.

    epsilon: LATEC takes 0.01 for images, 0.001 for volumes and point clouds.
    """

    id = "effective_complexity"
    title = "Effective complexity"
    criterion = "complexity"
    direction = "lower"
    range = (1.0, math.inf)
    citation = "Nguyen & Martínez 2020, On Quantitative Aspects of Model Interpretability"

    epsilon: float = 0.01
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(0 <= self.epsilon < 1, f"epsilon must lie in [0, 1), not {self.epsilon}")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        above = samples.scores(self.reading).abs() > self.epsilon
        return above.sum(dim=1).to(torch.float64)
