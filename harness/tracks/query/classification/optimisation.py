"""Gradient descent under a seed: optimisers, schedules, and the loop that all trainings share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

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
    make = Lars if spec.kind == "lars" else Nesterov
    optimiser = make(network.parameters(), spec.momentum, spec.weight_decay)
    at, steps_done = rate(spec, epochs, steps), count()
    for epoch in range(1, epochs + 1):
        network.train()
        loss = torch.zeros(())
        for loss in losses():
            optimiser.forget_gradients()
            loss.backward()
            optimiser.step(spec.learning_rate * at(next(steps_done)))
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


class _Optimiser:
    """No `torch.optim.Optimizer`: each process that made one would import torch's compiler, which takes as long as
    hundreds of steps of a small network."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float) -> None:
        self._parameters, self._momentum, self._weight_decay = list(parameters), momentum, weight_decay
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)

    def forget_gradients(self) -> None:
        """As `Module.zero_grad`, without looking for the parameters in all parts of the network again."""
        for weights in self._parameters:
            weights.grad = None


class Nesterov(_Optimiser):
    """SGD with Nesterov's momentum, where there is momentum."""

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """By the gradients that all parameters have."""
        sgd(
            [*self._parameters],
            [_gradient(weights) for weights in self._parameters],
            self._velocities,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self._momentum > 0,
            maximize=False,
        )


class Lars(_Optimiser):
    """SGD whose step in each layer is scaled to the size of its weights (You et al. 2017), for large batches.

    Biases and normalisation are neither scaled nor decayed, as in SimCLR.
    """

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """By the gradients that all parameters have."""
        for place, weights in enumerate(self._parameters):
            change = _gradient(weights)
            if weights.ndim > 1:
                change = change + self._weight_decay * weights
                change = change * _trust(weights, change)
            velocity = self._velocities[place]
            self._velocities[place] = velocity = change if velocity is None else self._momentum * velocity + change
            weights.add_(velocity, alpha=-learning_rate)


def _gradient(weights: nn.Parameter) -> Tensor:
    assert weights.grad is not None, "the loss depends on every parameter"
    return weights.grad


def _trust(weights: Tensor, change: Tensor) -> Tensor:
    size, length = weights.norm(), change.norm()
    return torch.where((size > 0) & (length > 0), _TRUST * size / length, torch.ones_like(size))


def gathered(array: np.ndarray, indices: Tensor, device: str) -> Tensor:
    """Rows of an array in main memory, on the device."""
    return torch.from_numpy(array[indices.numpy()]).to(device)
