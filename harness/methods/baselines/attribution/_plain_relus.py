"""Guided backpropagation by autograd, of networks in which nothing can hide from it.

It costs what a gradient costs. Autograd itself would say nothing of what a network computes without gradients, and knows a
ReLU only by its name: so each call of PyTorch is looked at, and a network is given up at the first that is not known to
be harmless.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness.methods.baselines.attribution._gradients import target_logits

_RELUS = frozenset([F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_])
_SUMS = frozenset([torch.add, Tensor.add, Tensor.add_])
_NUMBER_BY_NUMBER = _RELUS | _SUMS | frozenset([Tensor.clone, Tensor.contiguous, F.dropout])
_POOLS = [
    getattr(F, f"{name}{dimensions}d")
    for name in ("max_pool", "adaptive_max_pool", "avg_pool", "adaptive_avg_pool")
    for dimensions in (1, 2, 3)
]
_VIEWS = [torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, Tensor.squeeze, Tensor.unsqueeze, torch.transpose]
_VIEWS += [Tensor.transpose, torch.permute, Tensor.permute, Tensor.__getitem__, torch.cat]
_LINEAR = [torch.conv1d, torch.conv2d, torch.conv3d, F.linear, F.batch_norm, torch.mean, Tensor.mean]
_OTHERS = frozenset([*_LINEAR, *_POOLS, *_VIEWS])
_OF_SHAPE = frozenset(
    [Tensor.dim, Tensor.size, Tensor.__len__, *(getattr(Tensor, name).__get__ for name in ("shape", "ndim"))]
)


def guided_gradients(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor | None:
    """Gradients (n, c, *spatial) of the targets' logits that each ReLU lets pass back where they are positive.

    The same numbers as by rules for each operation. None where autograd may not see all that the network does or where a
    ReLU may be written in another way: for networks that call anything but convolutions, linear layers, batch norm,
    pooling, sums, views and ReLU, or anything without gradients, or that add a ReLU to its own input. The network may
    have been run in part.
    """
    try:
        with torch.enable_grad():
            entry = inputs.detach().clone().requires_grad_()
            followed = entry.clone()  # which a network may work on in place
            weights = [*model.parameters(), *model.buffers()]
            with _Watch((followed, *weights)) as watch:
                logits = model(followed)
            if not watch.knows(logits):
                return None
            of_targets = target_logits(logits, targets).sum()
            relus = list(_relus(of_targets))
            if len(relus) != watch.relus:  # of a view in place, say, which has no node of its own
                return None
            for node in relus:
                node.register_hook(
                    lambda parts, _: tuple(None if part is None else part.clamp_min(0) for part in parts)
                )
            gradients: Tensor = torch.autograd.grad(of_targets, entry)[0]
            return gradients
    except Exception:  # what was found, and whatever a network raises with gradients only
        return None


class _GivenUpError(Exception):
    pass


class _Watch(TorchFunctionMode):
    """Raises at a call that is not known, that has no gradients, or whose tensors come from elsewhere.

    known: the only tensors that calls may be given beside what earlier ones have made; they outlive the watch.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.relus = 0
        self._given_up = False
        self._known = set(map(id, known))
        # Held weakly, so that memory is freed as without a watch. With each tensor, of which one it is a function, number
        # by number: the sum of two such functions of one tensor is another, and not what became of a ReLU.
        self._made: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._sources = count()

    def knows(self, value: Any) -> bool:
        key = id(value)
        made = self._made.get(key)
        return not self._given_up and (key in self._known if made is None else made[0]() is value)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _OF_SHAPE:
            return func(*args, **kwargs)
        given = _tensors(args, kwargs)
        by_number = func in _NUMBER_BY_NUMBER
        if not (by_number or func in _OTHERS) or not torch.is_grad_enabled() or not all(map(self.knows, given)):
            self._give_up()
        source = self._common_source(given) if by_number else None
        out = func(*args, **kwargs)
        self.relus += func in _RELUS
        for each in out if isinstance(out, tuple) else (out,):
            self._made[id(each)] = weakref.ref(each), next(self._sources) if source is None else source
        return out

    def _common_source(self, given: list[Tensor]) -> int | None:
        keys = [id(each) for each in given]
        sources = {self._made[key][1] if key in self._made else -key for key in keys}
        if len(sources) < len(keys):
            self._give_up()
        return sources.pop() if len(sources) == 1 else None

    def _give_up(self) -> NoReturn:
        self._given_up = True  # a network may catch what is raised
        raise _GivenUpError


def _tensors(args: Iterable[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Those among the arguments of a call, lists of them included."""
    found = []
    for each in (*args, *kwargs.values()):
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, list | tuple):
            found += _tensors(each, {})
    return found


def _relus(root: Tensor) -> Iterator[Any]:
    """Nodes of the graph behind a tensor through which gradients of a ReLU go back."""
    waiting = [root.grad_fn]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        assert node is not None
        if node.name() == "ReluBackward0":
            yield node
        new = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= new
        waiting += new
