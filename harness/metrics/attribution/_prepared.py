"""A cheaper way to the same numbers: a network for inference alone, without hooks and gradients."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

AGREEMENT = 1e-5
"""Of the largest output: what another order of sums may change."""


def prepared(model: nn.Module, example: Tensor) -> nn.Module:
    """The model traced, frozen and laid out by oneDNN; the model itself where that fails or gives other outputs.

    model: in evaluation mode, of inputs (m, c, *spatial) to a tensor (m, ...), on the CPU; its weights must not change
    afterwards. example (m, c, *spatial): it is passed about three times. A model whose `forward` looks at numbers or at the size
    of the batch, of which torch's tracer warns, stays as it is. So does one whose outputs of the example, of parts of it
    or of other numbers then differ by more than `AGREEMENT`.
    """
    example = example.repeat(-(-4 // len(example)), *[1] * (example.ndim - 1))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "Converting a tensor")  # to a bool, a list, ...
            traced = torch.jit.trace(model, example[:4], check_trace=False)
            found: nn.Module = torch.jit.optimize_for_inference(traced)
        if all(_agree(model, found, each) for each in (example, example[:1], example[:3] / 2 - 1, example[:2] * 0)):
            return found
    except Exception:  # whatever a user's modules raise, or a torch without its tracer
        return model
    return model


def _agree(model: nn.Module, found: nn.Module, inputs: Tensor) -> bool:
    with torch.inference_mode():
        expected, given = model(inputs), found(inputs)
    if given.shape != expected.shape or given.dtype != expected.dtype:
        return False
    return bool((given - expected).abs().max() <= AGREEMENT * expected.abs().max())
