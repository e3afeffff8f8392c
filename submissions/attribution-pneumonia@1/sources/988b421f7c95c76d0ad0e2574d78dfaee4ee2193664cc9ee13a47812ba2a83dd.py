"""A reference row: a map that knows the architecture but not what was learned."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import seeded
from harness.methods.baselines.attribution.saliency import saliency
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn


SEED = 727_410_352  # of no training: a network still resembles the weights that it began with


@explainer(version="1.0", reference=True, citation="Adebayo et al., NeurIPS 2018")
def randomised_saliency(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Saliency of a copy of the model whose weights are drawn anew, always the same ones."""
    untrained = copy.deepcopy(model)
    with seeded(SEED):
        _forget(untrained)
    return saliency(untrained, inputs, targets)


def _forget(model: nn.Module) -> None:
    """Initial weights for every module that can draw its own, small noise for all others."""
    import torch

    with torch.no_grad():
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                continue
            for weight in module.parameters(recurse=False):
                weight.normal_(std=0.02)
