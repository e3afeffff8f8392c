"""How many samples a method passes through the networks that it is given: what it costs, whatever machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from harness.spec.result import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

_MARK = "_harness_passes_counted"


class Meter:
    """Counts samples that go forward through networks, and those whose gradients come back.

    It hooks into torch's calls of modules, not into the network: a method finds none of it there, and copies that it
    makes are counted too. Networks that were compiled, and parts of a network that are called by themselves, are not.
    """

    def __init__(self) -> None:
        self._forward = 0
        self._backward = 0

    def take(self) -> Passes:
        """What was counted since the last time."""
        taken = Passes(forward=self._forward, backward=self._backward)
        self._forward = self._backward = 0
        return taken

    @contextmanager
    def counting(self, *networks: nn.Module | None) -> Iterator[None]:
        """Count the calls of these networks, and of copies that are made of them, until the block ends."""
        from torch.nn.modules.module import register_module_forward_hook

        for network in networks:
            if network is not None:
                setattr(network, _MARK, True)
        handle = register_module_forward_hook(self._count)
        try:
            yield
        finally:
            handle.remove()

    def _count(self, module: nn.Module, inputs: Any, output: Any) -> None:
        import torch

        if _MARK not in module.__dict__ or not isinstance(output, torch.Tensor) or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return
        self._forward += output.shape[0]
        if output.requires_grad:
            with suppress(RuntimeError):  # inside of function transforms, which have gradients of their own
                output.register_hook(self._count_back)

    def _count_back(self, gradient: Tensor) -> None:
        self._backward += gradient.shape[0]
