"""Guided backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import in_batches
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.baselines.attribution._operations import Operation, Parts


@explainer(version="2.0", citation="Springenberg et al., ICLR workshops 2015")
def guided_backprop(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the logit, of which every ReLU lets only positive parts pass back."""
    from harness.methods.baselines.attribution._operations import gradient, propagate, trace
    from harness.methods.baselines.attribution._plain_relus import guided_gradients

    plain = True

    def rule(operation: Operation, of_outputs: Parts) -> Parts:
        parts = gradient(operation, of_outputs)
        return [part if part is None else part.clamp_min(0) for part in parts] if _is_relu(operation) else parts

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        nonlocal plain
        maps = guided_gradients(model, some, classes) if plain else None
        if maps is not None:
            return maps
        plain = False  # nor will it be for other inputs, most likely
        found = trace(model, some, classes, whole_norms=True)
        return propagate(found, found.logits.new_ones(len(some)), rule)[0]

    return in_batches(explain, inputs, targets)


def _is_relu(operation: Operation) -> bool:
    """Whether it is max(x, 0), however it is written: what it makes of some numbers tells."""
    import torch

    if operation.name == "relu":
        return True
    (inputs, *others), outputs = operation.inputs, operation.outputs
    if not operation.pointwise or others or inputs.shape != outputs[0].shape:
        return False
    answers = ((number, operation.call(torch.full_like(inputs, number))[0]) for number in (-1, -1000, 0.01, 1, 1000))
    return all(
        bool((answer == torch.tensor(number, dtype=answer.dtype).clamp_min(0)).all()) for number, answer in answers
    )
