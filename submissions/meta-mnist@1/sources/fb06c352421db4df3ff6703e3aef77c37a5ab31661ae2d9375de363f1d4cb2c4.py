"""Metrics of faithfulness as LATEC's code computes them (Klein et al. 2024), but for its faithfulness correlation.

Version 2.0 of four of them: what LATEC's code was found to give when it was run beside this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution_metric._scored import scored
from harness.methods.interface import attribution_metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@attribution_metric(
    version="2.0",
    higher_is_better=True,
    criterion="faithfulness",
    variant_of="faithfulness_estimate",
    citation="Alvarez-Melis & Jaakkola 2018, Towards Robust Interpretability with Self-Explaining Neural Networks",
)
def faithfulness_estimate_latec(
    model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context
) -> Tensor:
    """Correlation of attributions with what their removal does to the logit, step by step, as LATEC computes it."""
    return scored("faithfulness_estimate", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    variant_of="monotonicity_correlation",
    citation="Nguyen & Martínez 2020, On Quantitative Aspects of Model Interpretability",
)
def monotonicity_correlation_latec(
    model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context
) -> Tensor:
    """Rank correlation of attributions with how strongly the model reacts to noise there, as LATEC computes it."""
    return scored("monotonicity_correlation", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    variant_of="pixel_flipping",
    citation="Bach et al. 2015, On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation",
)
def pixel_flipping_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are flipped first, as LATEC computes it."""
    return scored("pixel_flipping", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="2.0",
    higher_is_better=True,
    criterion="faithfulness",
    variant_of="region_perturbation",
    citation="Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned",
)
def region_perturbation_latec(
    model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context
) -> Tensor:
    """Mean drop of the probability while the most attributed regions are perturbed first, as LATEC computes it."""
    return scored("region_perturbation", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="1.0",
    higher_is_better=True,
    criterion="faithfulness",
    variant_of="insertion",
    citation="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
)
def insertion_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are restored first, as LATEC computes it."""
    return scored("insertion", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    variant_of="deletion",
    citation="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
)
def deletion_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Mean probability while the most attributed positions are removed first, as LATEC computes it."""
    return scored("deletion", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="2.0",
    higher_is_better=True,
    criterion="faithfulness",
    modalities=("image", "point-cloud"),  # of a volume only the first slice is replaced, which seldom shows anything
    variant_of="irof",
    citation="Rieger & Hansen 2020, IROF: A Low Resource Evaluation Metric for Explanation Methods",
)
def irof_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Area over the curve while the most attributed segments go first, in one channel only, as LATEC computes it."""
    return scored("irof", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="2.0",
    higher_is_better=False,
    criterion="faithfulness",
    variant_of="road",
    citation="Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods",
)
def road_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Share of right decisions after the most attributed positions are imputed, as LATEC computes it."""
    return scored("road", model, inputs, targets, maps, context, "latec")


@attribution_metric(
    version="1.0",
    higher_is_better=False,
    criterion="faithfulness",
    variant_of="infidelity",
    citation="Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations",
)
def infidelity_latec(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
    """Squared error of the attribution as a prediction of what noise does, as LATEC computes it."""
    return scored("infidelity", model, inputs, targets, maps, context, "latec")
