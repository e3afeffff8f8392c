"""A cheaper way to the same numbers: a network for inference alone, without hooks and gradients."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

AGREEMENT = 1e-5
"""Of the largest output: what another order of sums may change."""


def prepared(model: nn.Module, example: Tensor, size: int = 32) -> nn.Module:
    """The model traced, frozen and laid out by oneDNN; the model itself where that fails or gives other outputs.

    A model that keeps more than its outputs need may have `_for_inference`, which gives a cheaper one with the same weights.
    model: of inputs (m, c, *spatial) to a tensor (m, ...), on the CPU; it must not change afterwards. example
    (m, c, *spatial), m > 0: it is passed a few times. size: how many inputs most passes will have. A model stays as it is
    in training mode, with hooks on its parts (a trace would never call them again), if its `forward` decides by numbers or
    by the size of the batch, and if outputs of the example, of parts of it or of other numbers differ by more than
    `AGREEMENT`.
    """
    if any(module.training or (module is not model and _hooked(module)) for module in model.modules()):
        return model
    example = example.repeat(-(-4 // len(example)), *[1] * (example.ndim - 1))
    others = example, example[:1], example[:3] / 2 - 1, example[:2] * 0
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
            warnings.simplefilter("ignore")
            # Raises where numbers become Python's, which a trace with numbers may keep without a word.
            torch.fx.symbolic_trace(model)
            cheaper: nn.Module = getattr(model, "_for_inference", lambda: model)()
            traced = torch.jit.trace(cheaper.eval(), example[:4], check_trace=False)
            if _convolves(cheaper, example):
                with suppress(Exception):  # a torch without oneDNN's graphs, or what these do not know
                    fused = _Fused(traced, (size, *example.shape[1:]))
                    if all(_agree(model, fused, each) for each in others):
                        return fused
            found: nn.Module = torch.jit.optimize_for_inference(traced)
            return found if all(_agree(model, found, each) for each in others) else model
    except Exception:  # whatever a user's modules raise, or a torch without its tracer
        return model


class _Fused(nn.Module):
    """Layers put together by oneDNN, for inputs of one shape (m, c, *spatial): fewer are filled up with zeros.

    So what is said of an input does not depend on how many there are.
    """

    def __init__(self, traced: torch.jit.ScriptModule, shape: Sequence[int]) -> None:
        super().__init__()
        self._shape = tuple(shape)
        before = torch.jit.onednn_fusion_enabled()
        torch.jit.enable_onednn_fusion(True)  # of the whole process, and not what `optimize_for_inference` works with
        try:
            self._frozen = torch.jit.freeze(traced)
            for _ in range(2):  # seen, then compiled
                self._frozen(torch.zeros(self._shape))
        finally:
            torch.jit.enable_onednn_fusion(before)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self._some(part) for part in inputs.split(self._shape[0])])

    def _some(self, inputs: Tensor) -> Tensor:
        missing = self._shape[0] - len(inputs)
        full = torch.cat([inputs, inputs.new_zeros(missing, *self._shape[1:])]) if missing else inputs
        # oneDNN's graphs take for granted how numbers lie in memory, axes of length 1 included.
        outputs: Tensor = self._frozen(full.flatten().view(self._shape))
        return outputs[: len(inputs)]


def _convolves(model: nn.Module, example: Tensor) -> bool:
    """Whether it is a network of images that gains by fused layers: transformers and networks of volumes do not."""
    linear, convolutions = (sum(isinstance(each, kind) for each in model.modules()) for kind in (nn.Linear, nn.Conv2d))
    single = all(each.dtype == torch.float32 for each in (example, *model.parameters()))
    return example.ndim == 4 and convolutions > linear and single


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _agree(model: nn.Module, found: nn.Module, inputs: Tensor) -> bool:
    with torch.inference_mode():
        expected, given = model(inputs.clone()), found(inputs.clone())
    if given.shape != expected.shape or given.dtype != expected.dtype:
        return False
    return bool((given - expected).abs().max() <= AGREEMENT * expected.abs().max())
