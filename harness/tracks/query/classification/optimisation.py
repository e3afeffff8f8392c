"""Gradient descent under a seed: optimisers, schedules, and the loop that all trainings share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from harness.spec.errors import UsageError
from harness.spec.query import Optimiser
from harness.storage import content_id
from harness.tracks.torch_state import reproducible_torch

_TRUST = 1e-3  # LARS: the step of a layer in units of its weights, before the learning rate
_STEPS_DOWN = 4  # of the schedule "step": a tenth after each quarter


@contextmanager
def reproducible(device: str, *entropy: int | str) -> Iterator[None]:
    """As `reproducible_torch`, with a seed that is made of `entropy`."""
    with reproducible_torch(int(content_id(list(entropy))[:15], 16), device):
        yield


def minimise(
    network: nn.Module, spec: Optimiser, epochs: int, steps: int, losses: Callable[[], Iterable[Tensor]]
) -> Iterator[int]:
    """Follow the losses of every epoch downhill; yields the number of each epoch, from 1, when it is done.

    `losses` gives those of one epoch, `steps` of them, each computed when it is asked for. Raises UsageError when they
    become infinite.
    """
    make = Lars if spec.kind == "lars" else _nesterov
    optimiser = make(network.parameters(), spec.learning_rate, spec.momentum, spec.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate(spec, epochs, steps))
    for epoch in range(1, epochs + 1):
        network.train()
        loss = torch.zeros(())
        for loss in losses():
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if not torch.isfinite(loss):
            raise UsageError(
                f"the training came apart in epoch {epoch} (its loss is {loss.item()}); "
                f"give a learning_rate below {spec.learning_rate}."
            )
        yield epoch


def rate(spec: Optimiser, epochs: int, steps: int) -> Callable[[int], float]:
    """Learning rate of a step in units of the highest one: a straight rise, then as the schedule says.

    "cosine" falls to 0; "step" to a tenth after each quarter of the epochs.
    """
    warm, total = spec.warmup_epochs * steps, epochs * steps

    def at(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if spec.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))
        if spec.schedule == "step":
            return float(0.1 ** (step // steps // max(1, epochs // _STEPS_DOWN)))
        return 1.0

    return at


class Lars(torch.optim.Optimizer):
    """SGD whose step in each layer is scaled to the size of its weights (You et al. 2017), for large batches.

    Biases and normalisation are neither scaled nor decayed, as in SimCLR.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                change = weights.grad
                if weights.ndim > 1:
                    change = change + group["weight_decay"] * weights
                    change = change * _trust(weights, change)
                state = self.state[weights]
                velocity = state["velocity"] = group["momentum"] * state.get("velocity", 0.0) + change
                weights.add_(velocity, alpha=-group["lr"])


def _trust(weights: Tensor, change: Tensor) -> Tensor:
    size, length = weights.norm(), change.norm()
    return torch.where((size > 0) & (length > 0), _TRUST * size / length, torch.ones_like(size))


def _nesterov(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=momentum > 0)


def gathered(array: np.ndarray, indices: Tensor, device: str) -> Tensor:
    """Rows of an array in main memory, on the device."""
    return torch.from_numpy(array[indices.numpy()]).to(device)
