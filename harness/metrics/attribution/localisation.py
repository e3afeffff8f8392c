"""Localisation: does the attribution lie where the truth does? For samples whose evidence is known by a mask.

Maps are read by position (pixel, voxel, point), channels averaged. Masks (n, 1, *spatial) hold 0 or 1; where a mask
is empty there is nothing to find, and the score is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import MapMetric

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards
    from harness.metrics.attribution.map_batch import MapBatch

_ARRAS = (
    "Arras et al. 2022, CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations"
)


@dataclass(frozen=True, kw_only=True)
class LocalisationMetric(MapMetric):
    """Reads each map by position, beside the mask of its sample."""

    criterion = "localisation"
    direction = "higher"
    range = (0.0, 1.0)
    needs = frozenset({"masks"})


@dataclass(frozen=True, kw_only=True)
class RelevanceMass(LocalisationMetric):
    r"""Share of the positive attribution that lies inside the mask (relevance mass accuracy).

    $$ \frac{\sum_{i \in M} \max(a_i, 0)}{\sum_i \max(a_i, 0)} $$

    $M$: the positions inside the mask.

    Higher is better; in [0, 1]. A map that is constant or zero everywhere gets the mask's share of the positions; one
    without any positive attribution 0. Arras et al. 2022.
    """

    id = "relevance_mass"
    title = "Relevance mass accuracy"
    citation = _ARRAS

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        inside, positive = _inside(samples), samples.positions.clamp_min(0.0)
        mass = (positive * inside).sum(dim=1) / positive.sum(dim=1)
        return _where_masked(mass.nan_to_num(0.0), inside)


@dataclass(frozen=True, kw_only=True)
class RelevanceRank(LocalisationMetric):
    r"""Share of the K highest attributions that lie inside the mask of K positions (relevance rank accuracy).

    $$ \frac{|\mathrm{top}_K(a) \cap M|}{K}, \quad K = |M| $$

    $M$: the positions inside the mask.

    Higher is better; in [0, 1]. Where the K-th value is shared by several positions, the score is its expectation
    over all ways to order them: a map that is constant everywhere gets the mask's share of the positions. Arras et
    al. 2022.
    """

    id = "relevance_rank"
    title = "Relevance rank accuracy"
    citation = _ARRAS

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        inside, values = _inside(samples), samples.positions
        size = inside.sum(dim=1)
        descending = values.sort(dim=1, descending=True).values
        last = descending.gather(1, (size - 1).clamp_min(0)[:, None])
        above, level = values > last, values == last
        left = size - above.sum(dim=1)
        hits = _count(above & inside) + left * _count(level & inside) / _count(level)
        return _where_masked(hits / size, inside)


@dataclass(frozen=True, kw_only=True)
class PointingGame(LocalisationMetric):
    r"""Whether the highest attribution lies inside the mask.

    $$ [\arg\max_i a_i \in M] $$

    $M$: the positions inside the mask.

    Higher is better; in [0, 1]. Several highest positions: the share of them that is inside, so that a map that is
    constant everywhere gets the mask's share of the positions. There is no margin around the mask. Zhang et al. 2018.
    """

    id = "pointing_game"
    title = "Pointing game"
    citation = "Zhang et al. 2018, Top-Down Neural Attention by Excitation Backprop"

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        inside, values = _inside(samples), samples.positions
        highest = values == values.amax(dim=1, keepdim=True)
        return _where_masked(_count(highest & inside) / _count(highest), inside)


def _inside(samples: MapBatch) -> Tensor:
    """Masks as booleans (n, p)."""
    import torch

    masks, expected = samples.masks, (len(samples), 1, *samples.inputs.shape[2:])
    assert masks is not None
    if tuple(masks.shape) != expected:
        raise ValueError(f"masks have shape {tuple(masks.shape)}, expected {expected}.")
    if not bool(((masks == 0) | (masks == 1)).all()):
        raise ValueError("masks must hold 0 and 1 only.")
    return masks.detach().cpu().to(torch.bool).flatten(1)


def _count(positions: Tensor) -> Tensor:
    """How many are true in each row, in float64, because torch divides whole numbers in single precision."""
    import torch

    return positions.sum(dim=1, dtype=torch.float64)


def _where_masked(scores: Tensor, inside: Tensor) -> Tensor:
    """The scores, NaN where the mask is empty."""
    import torch

    return scores.masked_fill(~inside.any(dim=1), torch.nan)
