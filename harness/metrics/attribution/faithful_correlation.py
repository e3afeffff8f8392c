"""Faithfulness as a correlation: the more attribution is removed, the more the probability should change.

A side that does not vary says nothing: the correlation is then 0. LATEC's readings are those of its Quantus fork, whose
default, the logit in place of the probability, it leaves as it is for all but the monotonicity correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution.base import Baseline, MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution.forwards import Forwards, Read


@dataclass(frozen=True, kw_only=True)
class FaithfulnessCorrelation(MapMetric):
    r"""Pearson correlation, over random subsets, of a subset's attribution and the drop of the probability without it.

    $$ \mathrm{corr}_S \left( \sum_{i \in S} a_i, \; f(x) - f(x_{-S}) \right) $$

    $S$: a subset; $a$: attribution; $f$: probability of the target; $x_{-S}$: the input without $S$.

    Higher is better; in [-1, 1]; 0 for a constant map. The subsets of a sample are the same for all methods. Bhatt et
    al. 2020. LATEC's reading takes the drop of the target's logit.

    subset: positions (LATEC: numbers) removed together; by default a tenth of them. LATEC takes 224 for images, 56
    for volumes, 32 for point clouds. runs: subsets drawn.
    """

    id = "faithfulness_correlation"
    title = "Faithfulness correlation"
    criterion = "faithfulness"
    direction = "higher"
    range = (-1.0, 1.0)
    citation = "Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations"

    subset: int | None = None
    runs: int = 100
    baseline: Baseline = "black"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.subset is None or self.subset >= 1, "subset must be at least 1")
        require(self.runs >= 2, "runs must be at least 2")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        from harness.metrics.attribution._correlation import pearson

        scores = samples.scores(self.reading)
        shared = forwards.shared(
            self.id, self.constants, samples, lambda: self._removals(forwards, samples, scores.shape[1])
        )
        taken = [row.index_select(0, subsets.flatten()) for row, subsets in zip(scores, shared["subsets"], strict=True)]
        return pearson(torch.stack(taken).view(shared["subsets"].shape).sum(dim=2), shared["drops"])

    def _removals(self, forwards: Forwards, samples: MapBatch, count: int) -> dict[str, Tensor]:
        """Subsets (n, runs, subset) as places in memory, int32, and drops (n, runs) of the probability."""
        import numpy as np
        import torch

        from harness.metrics.attribution._ordering import fill

        size = max(1, count // 10) if self.subset is None else self.subset
        require(size <= count, f"faithfulness_correlation cannot remove {size} of {count} positions")
        subsets = torch.empty(len(samples), self.runs, size, dtype=torch.int32)
        for row, rng in zip(subsets, samples.generators(self.id), strict=True):
            drawn = [rng.choice(count, size, replace=False, shuffle=False) for _ in range(self.runs)]
            row[:] = torch.from_numpy(np.stack(drawn))
        inputs = samples.inputs
        away = fill(samples, self.baseline, self.reading, torch.zeros(len(samples), count, dtype=torch.int64), 1)

        def perturb(rows: Tensor, runs: Tensor) -> Tensor:
            mask = torch.zeros(len(rows), count, dtype=torch.bool).scatter_(1, subsets[rows, runs].long(), True)
            mask = mask.view(len(rows), -1, *inputs.shape[2:])
            return torch.where(mask, away.index_select(0, rows), inputs.index_select(0, rows))

        read = _removal_read(self.reading)
        drops = forwards.of_target(samples, read)[:, None] - forwards.curve(samples, self.runs, perturb, read)
        return {"subsets": subsets, "drops": drops}


@dataclass(frozen=True, kw_only=True)
class FaithfulnessEstimate(MapMetric):
    r"""Pearson correlation, over steps from the highest attribution to the lowest, of attribution and drop.

    $$ \mathrm{corr}_k \left( m_k, \; f(x) - f(x_{-T_k}) \right) $$

    $T_k$: positions of step $k$; $m_k$: their mean attribution; $f$: probability of the target.

    Each step is removed alone: its mean attribution (LATEC: the sum) goes with the drop of the probability (LATEC: of
    the logit). Higher is better; in [-1, 1]; 0 for a constant map. Alvarez-Melis & Jaakkola 2018.

    step: positions (LATEC: numbers) removed together; by default as few as make 50 steps or less. LATEC takes 224 for
    images, 56 for volumes, 32 for point clouds.
    """

    id = "faithfulness_estimate"
    title = "Faithfulness estimate"
    criterion = "faithfulness"
    direction = "higher"
    range = (-1.0, 1.0)
    citation = "Alvarez-Melis & Jaakkola 2018, Towards Robust Interpretability with Self-Explaining Neural Networks"

    step: int | None = None
    baseline: Baseline = "black"
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.step is None or self.step >= 1, "step must be at least 1")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        from harness.metrics.attribution._correlation import pearson
        from harness.metrics.attribution._ordering import blend, fill, places, step_edges, step_means, step_of, ties

        scores = samples.scores(self.reading)
        order = places(scores, ties(samples, self.reading))
        edges = step_edges(scores.shape[1], self.step, self.reading)
        steps, count = step_of(order, edges), len(edges) - 1
        away = fill(samples, self.baseline, self.reading, steps, count)
        read = _removal_read(self.reading)
        curve = forwards.curve(samples, count, blend(samples.inputs, away, order, edges[:-1], edges[1:]), read)
        drops = forwards.of_target(samples, read)[:, None] - curve
        return pearson(step_means(scores, steps, count, self.reading), drops)


@dataclass(frozen=True, kw_only=True)
class MonotonicityCorrelation(MapMetric):
    r"""Spearman correlation, over steps from the lowest |attribution| to the highest, of it and the model's reaction.

    $$
    \mathrm{spearman}_k \left( m_k, \; \frac{1}{D} \sum_{d=1}^{D}
    \left( f(x_{k,d}) - f(x) \right)^2 \right)
    $$

    $m_k$: mean |attribution| of the positions of step $k$; $x_{k,d}$: the input with draw $d$ of $D$
    there; $f$: probability of the target.

    Each step is replaced alone by `draws` random colours, drawn between the sample's smallest and largest number
    (LATEC: from U(0, 1)); the reaction is the mean square change of the probability, where changes below 1e-6, within
    the rounding of single precision, count as none (LATEC: all count). The paper divides the reaction by the squared
    probability, a factor that all steps of a sample share: the ranks are the same without. Higher is better; in
    [-1, 1]; 0 for a constant map. Nguyen & Martínez 2020.

    step: positions (LATEC: numbers) replaced together; by default as few as make 50 steps or less. LATEC takes 3136
    for images, 392 for volumes, 256 for point clouds.
    """

    id = "monotonicity_correlation"
    title = "Monotonicity correlation"
    criterion = "faithfulness"
    direction = "higher"
    range = (-1.0, 1.0)
    citation = "Nguyen & Martínez 2020, On Quantitative Aspects of Model Interpretability"

    step: int | None = None
    draws: int = 10
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.step is None or self.step >= 1, "step must be at least 1")
        require(self.draws >= 1, "draws must be at least 1")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:

        from harness.metrics.attribution import _ordering as along
        from harness.metrics.attribution._correlation import spearman

        inputs, scores = samples.inputs, samples.scores(self.reading).abs()
        order = along.places(scores, along.ties(samples, self.reading), ascending=True)
        edges = along.step_edges(scores.shape[1], self.step, self.reading)
        count = len(edges) - 1
        drawn = along.colours(samples, self.id, (count, self.draws), self.reading).to(inputs.dtype)

        def perturb(rows: Tensor, pairs: Tensor) -> Tensor:
            step = pairs // self.draws
            share = along.between(order.index_select(0, rows), edges[step], edges[step + 1], inputs)
            colour = drawn[rows, step, pairs % self.draws].view(-1, *[1] * (inputs.ndim - 1))
            return inputs.index_select(0, rows).lerp(colour, share)

        curve = forwards.curve(samples, count * self.draws, perturb)
        change = curve - forwards.probability(samples)[:, None]
        if self.reading == "corrected":
            change = change.round(decimals=6)
        reaction = change.view(len(samples), count, self.draws).square().mean(dim=2)
        return spearman(along.step_means(scores, along.step_of(order, edges), count, self.reading), reaction)


def _removal_read(reading: Reading) -> Read:
    return "logit" if reading == "latec" else "probability"
