"""Building the networks that are explained, in the unit process and again in the method worker."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.methods.context import Anatomy
from harness.spec.errors import UsageError
from harness.spec.method import Architecture, Modality
from harness.tracks.torch_state import in_single_precision

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@dataclass(frozen=True)
class Description:
    """How to build a network: a bundled family, `symbol` of a factory's Python source, or an installed
    `package.module:function`. JSON-ready."""

    classes: int | None = None
    family: str | None = None
    source: str | None = None
    installed: str | None = None
    symbol: str = "build"
    arguments: Mapping[str, Any] | None = None
    modality: Modality = "image"
    architecture: Architecture = "cnn"
    anatomy: Mapping[str, Any] | None = None

    def as_meta(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class BuiltNetwork:
    """A network in evaluation mode, and what is known about it."""

    network: nn.Module
    modality: Modality
    architecture: Architecture
    anatomy: Anatomy


def build(description: Description, weights: Mapping[str, np.ndarray], device: str) -> BuiltNetwork:
    """The network with its weights; without any, as it was made under a fixed seed.

    Raises UsageError for a factory that fails, and for weights that do not fit.
    """
    import torch

    if description.family is not None:
        from harness.tracks.attribution.networks import FAMILIES, build_network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(description.family, description.classes or 10)
        family = FAMILIES[description.family]
        built = BuiltNetwork(network, family.modality, family.architecture, family.anatomy)
    else:
        anatomy = dict(description.anatomy or {})
        if anatomy.get("grid") is not None:
            anatomy["grid"] = tuple(anatomy["grid"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _own_network(description)
        network.register_forward_hook(_logits_alone)
        built = BuiltNetwork(network, description.modality, description.architecture, Anatomy(**anatomy))
    if weights:
        load_weights(network, weights)
    network.to(device).eval()
    if device != "cpu":
        in_single_precision()
    return built


def _logits_alone(network: nn.Module, args: Any, answer: Any) -> Any:
    """The logits of a network that answers with more: in `.logits`, under "logits", or first of several."""
    if isinstance(answer, Mapping) and "logits" in answer:
        return answer["logits"]
    if hasattr(answer, "logits"):
        return answer.logits
    return answer[0] if isinstance(answer, tuple | list) and answer else answer


def load_weights(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Strictly: every weight there, every shape right. Raises UsageError with the first misfit."""
    import torch

    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"the weights do not fit the network: {' '.join(str(error).split())[:300]}") from error


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """All weights and buffers as arrays. Raises UsageError for what is no array."""
    try:
        return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    except (AttributeError, TypeError) as error:
        raise UsageError(
            f"the network's weights cannot be handed to a method: {_said(error)}; use float32, and nothing but tensors."
        ) from error


def unchanged(network: nn.Module, original: nn.Module) -> str:
    """What a method did to a copy of the original that it should have left alone; nothing if it did not."""
    import torch

    state, before = network.state_dict(), original.state_dict()
    if state.keys() != before.keys():
        return "it changed the structure of the model"
    for name, value in state.items():
        if value.shape != before[name].shape or not torch.equal(value.cpu(), before[name].cpu()):
            return f"it changed the model's weights ({name})"
    if any(module.training for module in network.modules()):
        return "it left the model in training mode"
    if sum(map(_hooks, network.modules())) > sum(map(_hooks, original.modules())):
        return "it left hooks in the model; remove them before you return"
    return ""


def own_copy(network: nn.Module) -> nn.Module:
    """A deep copy: changes to it leave the original as it is. Raises UsageError for a network that cannot be copied."""
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever a user's modules raise
        raise UsageError(
            f"the network cannot be copied: {_said(error)}; it must keep no results of a run, and have parametrizations "
            "(`torch.nn.utils.parametrizations`) in place of the older `torch.nn.utils.weight_norm`."
        ) from error


def _hooks(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for kind in kinds)


def _own_network(description: Description) -> nn.Module:
    from torch import nn

    factory = _installed(description.installed) if description.installed else _own_factory(description)
    try:
        network = factory(**(description.arguments or {}))
    except Exception as error:  # whatever a user's factory raises
        raise UsageError(f"the factory of the network fails: {_said(error)}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"the factory of the network returned {type(network).__name__}, not a torch.nn.Module.")
    return network


def _own_factory(description: Description) -> Callable[..., Any]:
    scope: dict[str, Any] = {"__name__": "factory"}
    try:
        exec(compile(description.source or "", "factory.py", "exec"), scope)  # the benchmark's own file, pinned by hash
    except Exception as error:
        raise UsageError(
            f"the factory's file cannot be run: {_said(error)}; it is one file and sees installed packages only."
        ) from error
    factory = scope.get(description.symbol)
    if not callable(factory):
        raise UsageError(f"the factory's file has no function {description.symbol}.")
    found: Callable[..., Any] = factory
    return found


def _said(error: Exception) -> str:
    """`KeyError: 'x'`, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _installed(name: str) -> Callable[..., Any]:
    module, _, symbol = name.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), symbol)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the factory {name} of a network cannot be imported: {error}") from error
    return factory
