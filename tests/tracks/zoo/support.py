"""Checkpoints named as FD-Shifts names them, written down from its layout and not from the modules here."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]


def weight(*shape: int) -> Tensor:
    """So large that what is different of two images arrives at the last layer."""
    return torch.randn(shape) * (2.0 / torch.Size(shape[1:]).numel()) ** 0.5


def linear(name: str, before: int, after: int) -> State:
    return {f"{name}.weight": weight(after, before), f"{name}.bias": 0.1 * torch.randn(after)}


def convolution(name: str, before: int, after: int) -> State:
    return {f"{name}.weight": weight(after, before, 3, 3), f"{name}.bias": 0.1 * torch.randn(after)}


def batch_norm(name: str, channels: int) -> State:
    state = {f"{name}.{part}": 0.5 + torch.rand(channels) for part in ("weight", "running_var")}
    state |= {f"{name}.{part}": 0.1 * torch.randn(channels) for part in ("bias", "running_mean")}
    return state | {f"{name}.num_batches_tracked": torch.tensor(5)}


def vgg13(dropout: bool) -> State:
    """The encoder of VGG-13: parts of one row of layers, by their place in it."""
    state, place, before = {}, 0, 3
    for pair in (64, 128, 256, 512, 512):
        for first in (True, False):
            state |= convolution(f"features.{place}", before, pair) | batch_norm(f"features.{place + 1}", pair)
            place += 3 + (dropout and first)  # convolution, norm, ReLU, and dropout where no pooling follows
            before = pair
        place += 1  # pooling
    return state | (linear(f"features.{place + 2}", 512, 512) if dropout else {})


def small_conv() -> State:
    state, before = {}, 3
    for number, width in enumerate((32, 32, 64, 64, 128, 128), start=1):
        state |= convolution(f"conv{number}.net.1", before, width) | batch_norm(f"conv{number}_bn", width)
        before = width
    return state | linear("fc1", 2048, 512)


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def confidnet(encoder: State, own: State, classes: int, features: int = 512) -> State:
    """A classifier, its frozen copy, and the head with an encoder of its own."""
    last = linear("fc2", features, classes)
    state = prefixed("backbone._encoder.", encoder) | prefixed("backbone._classifier.", last)
    state |= prefixed("network._encoder.", own) | prefixed("network._classifier.", last)
    for number, (before, after) in enumerate(((features, 400), *[(400, 400)] * 3, (400, 1)), start=1):
        state |= linear(f"network.confid_net.uncertainty{number}", before, after)
    return state


def devries(encoder: State, classes: int, features: int = 512) -> State:
    state = prefixed("model._encoder.", encoder) | prefixed("model._classifier.", linear("fc2", features, classes))
    return state | linear("model.devries_net.uncertainty1", features, 1)


def deep_gamblers(encoder: State, classes: int, features: int = 512) -> State:
    last = linear("fc2", features, classes + 1)
    return prefixed("model._encoder.", encoder) | prefixed("model._classifier.", last)


def saved(path: Path, state: State) -> Path:
    torch.save({"epoch": 9, "state_dict": state, "pytorch-lightning_version": "1.5.10"}, path)
    return path
