"""Weights into networks, strictly, and with a sentence where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 3


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Every weight there, every shape right. Raises UsageError that lists what does not fit and begins with `what`."""
    check_fit(network, state, what)
    network.load_state_dict(dict(state))


def check_fit(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """As `load_strictly`, but loads nothing; the network may be without numbers (on the device `meta`)."""
    expected = network.state_dict()
    shapes = [
        f"{name} {tuple(value.shape)} in place of {tuple(expected[name].shape)}"
        for name, value in state.items()
        if name in expected and value.shape != expected[name].shape
    ]
    problems = {
        "missing": [name for name in expected if name not in state],
        "left over": [name for name in state if name not in expected],
        "of another shape": shapes,
    }
    said = [f"{kind}: {_some(names)}" for kind, names in problems.items() if names]
    if said:
        raise UsageError(f"{what}: {'; '.join(said)}.")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
