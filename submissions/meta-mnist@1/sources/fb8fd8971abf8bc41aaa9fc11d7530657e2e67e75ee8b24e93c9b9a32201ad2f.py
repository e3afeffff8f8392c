"""Metrics of faithfulness, in corrected definitions.

Sufficiency is none of them: its score of a map depends on the other maps of the batch.
"""

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
    criterion="faithfulness",
    citation="Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations",
)
def faithfulness_correlation(
    model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context
) -> Tensor:
    """Correlation of the attribution of random sets of positions with what their removal does."""
    return scored("faithfulness_correlation", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    citation="Alvarez-Melis & Jaakkola 2018, Towards Robust Interpretability with Self-Explaining Neural Networks",
)
def faithfulness_estimate(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Correlation of the attribution of positions with what their removal does, step by step."""
    return scored("faithfulness_estimate", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    citation="Nguyen & Martínez 2020, On Quantitative Aspects of Model Interpretability",
)
def monotonicity_correlation(
    model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context
) -> Tensor:
    """Rank correlation of attributions with how strongly the model reacts to noise there."""
    return scored("monotonicity_correlation", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    citation="Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation",
)
def pixel_flipping(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are flipped first."""
    return scored("pixel_flipping", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    citation="Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned",
)
def region_perturbation(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean drop of the probability while the most attributed regions are perturbed first."""
    return scored("region_perturbation", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    citation="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
)
def insertion(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are restored first."""
    return scored("insertion", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    citation="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
)
def deletion(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are removed first."""
    return scored("deletion", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    citation="Rieger & Hansen 2020, IROF: A Low Resource Evaluation Metric for Explanation Methods",
)
def irof(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Area over the curve while the most attributed segments are removed first."""
    return scored("irof", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    citation="Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods",
)
def road(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Share of right decisions after the most attributed positions are imputed."""
    return scored("road", model, inputs, targets, maps, context)


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    citation="Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations",
)
def infidelity(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Squared error of the attribution as a prediction of what noise does."""
    return scored("infidelity", model, inputs, targets, maps, context)
