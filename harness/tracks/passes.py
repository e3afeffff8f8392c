"""How many samples a method passes through the networks that it is given: what it costs, whatever machine it runs on.

What counts is what a unit takes by itself, so that a run's count does not depend on which process has which units: what
several studies of a network are asked together is shared out among them, and calls that ask again, to see whether answers
agree, do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from harness.spec.result import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.client import MethodClient

_Said = TypeVar("_Said")
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


def counted_apart(method: MethodClient, ask: Callable[[], _Said]) -> tuple[_Said, Passes | None]:
    """What `ask` gives, and what the method passed for it, which is not added to its count."""
    before, method.passes = method.passes, None
    try:
        return ask(), method.passes
    finally:
        method.passes = before


def together(one: Passes | None, other: Passes | None) -> Passes | None:
    """The sum; None where neither was counted."""
    if one is None or other is None:
        return one or other
    return Passes(forward=one.forward + other.forward, backward=one.backward + other.backward)


def share(passes: Passes | None, sizes: Mapping[str, int], own: Collection[str]) -> Passes | None:
    """Of what was passed for all sets together (name -> samples), what falls to some of them: in proportion to their
    samples, and so rounded that the shares of all sets add up."""
    if passes is None:
        return None
    ends = dict(zip(sizes, accumulate(sizes.values()), strict=True))
    whole = max(1, sum(sizes.values()))

    def of(total: int) -> int:
        return sum(total * ends[name] // whole - total * (ends[name] - sizes[name]) // whole for name in own)

    return Passes(forward=of(passes.forward), backward=of(passes.backward))
