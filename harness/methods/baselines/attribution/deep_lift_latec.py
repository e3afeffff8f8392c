"""DeepLIFT and DeepLIFT SHAP as LATEC computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import one_by_one
from harness.methods.baselines.attribution._captum import captum
from harness.methods.baselines.attribution._gradients import input_gradients
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

BACKGROUND = 16  # of LATEC


@explainer(version="1.0", citation="Klein et al., NeurIPS 2024")
def deep_lift_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: captum's DeepLIFT against an input of 0, on transformers input times gradient, where positive."""
    import torch

    def explain(one: Tensor, target: Tensor) -> Tensor:
        return _contributions(model, one, torch.zeros_like(one), target, context).relu()

    return one_by_one(explain, inputs, targets)


@explainer(version="1.0", citation="Klein et al., NeurIPS 2024")
def deep_lift_shap_latec(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """LATEC's reading: the mean, over the first inputs of the background set, of where DeepLIFT is positive."""
    starts = context.background[:BACKGROUND]

    def explain(one: Tensor, target: Tensor) -> Tensor:
        ends, classes = one.expand_as(starts), target.expand(len(starts))
        return _contributions(model, ends, starts, classes, context).relu().mean(dim=0, keepdim=True)

    return one_by_one(explain, inputs, targets)


def _contributions(model: nn.Module, ends: Tensor, starts: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Of each end (n, c, *spatial) to what distinguishes its logit from that of its start.

    LATEC's transformers are made of subclasses of GELU and soft-max, which captum's table of exact types does not hold:
    no rescale rule applies to them, and what is left is the gradient.
    """
    if context.architecture == "transformer":
        return (ends - starts) * input_gradients(model, ends, targets)
    with captum() as attr:
        found: Tensor = attr.DeepLift(model, eps=1e-9).attribute(ends.contiguous(), starts, target=targets)
    return found
