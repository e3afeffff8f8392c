"""Metrics of complexity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution_metric._scored import scored
from harness.methods.interface import attribution_metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="complexity",
    citation="Chalasani et al. 2020, Concise Explanations of Neural Networks using Adversarial Training",
)
def sparseness(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Gini index of the attributions' magnitudes."""
    return scored("sparseness", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="complexity",
    citation="Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations",
)
def complexity(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Entropy of the attributions' magnitudes."""
    return scored("complexity", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="complexity",
    citation="Nguyen & Martínez 2020, On Quantitative Aspects of Model Interpretability",
)
def effective_complexity(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Number of positions with an attribution that counts."""
    return scored("effective_complexity", model, inputs, targets, maps, context)
