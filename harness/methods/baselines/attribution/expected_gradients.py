"""Expected gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.attribution._batches import at_once, in_batches, seeded
from harness.methods.baselines.attribution._folded import folded
from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context

SAMPLES, NOISE = 40, 0.001  # of LATEC


@explainer(version="1.0", stochastic=True, citation="Erion et al., Nature Machine Intelligence 2021")
def expected_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Integrated gradients from random inputs of the background set, at random places on the way.

    The draws are those of captum's GradientShap for a single input, the same for every input.
    """
    import numpy as np
    import torch

    from harness.methods.baselines.attribution._gradients import input_gradients

    network, background, single = folded(model, inputs), context.background, [1] * (inputs.ndim - 1)
    with seeded(context.seed):
        rows = np.random.choice(len(background), SAMPLES).tolist()
        noise = torch.normal(0, torch.tensor(NOISE, device=inputs.device).repeat(SAMPLES, *inputs.shape[1:]))
        places = torch.from_numpy(np.random.uniform(0.0, 1.0, SAMPLES)).to(inputs).view(-1, *single)

    def explain(some: Tensor, classes: Tensor) -> Tensor:
        count = len(some)
        ends = some.repeat_interleave(SAMPLES, dim=0) + noise.repeat(count, *single)
        starts, along = background[rows].repeat(count, *single), places.repeat(count, *single)
        gradients = input_gradients(network, along * ends + (1 - along) * starts, classes.repeat_interleave(SAMPLES))
        parts = (ends - starts) * gradients
        return parts.view(count, SAMPLES, *parts.shape[1:]).mean(dim=1)

    return in_batches(explain, inputs, targets, max(1, at_once(inputs) // SAMPLES))
