"""The operations that lead from a network's input to a logit, and what goes back through them.

A network is followed below its modules, in PyTorch's ATen operations, so that it does not matter how it is written: with
modules or functions, in place or not, with a module that is used twice or made in `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.methods.baselines.attribution._decompositions import NORMS, OTHERS, Decomposition
from harness.methods.baselines.attribution._derivatives import derivative
from harness.methods.baselines.attribution._gradients import target_logits
from harness.methods.outputs import NotOfferedError

Parts = Sequence[Tensor | None]
Rule = Callable[["Operation", Parts], Parts]
"""(operation, what is known of each output; None where nothing depends on it) -> the same of each input."""


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


MOVES = _names(
    "view _unsafe_view reshape _reshape_alias to chunk contiguous expand permute transpose t squeeze unsqueeze select slice narrow index "
    "index_select gather flip roll cat stack split split_with_sizes unbind unfold as_strided alias lift_fresh _to_copy "
    "clone constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle repeat diagonal tril triu im2col select_scatter "
    "slice_scatter diagonal_scatter as_strided_scatter scatter index_put upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d"
)
"""Operations whose outputs are numbers of their inputs, at other places."""

SUMS = _names(
    "mean sum cumsum avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_linear1d "
    "upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa scatter_add index_add col2im "
    "grid_sampler_2d grid_sampler_3d"
)
"""Operations whose outputs are fixed linear combinations of their inputs."""

POOLED_MAXIMA = _names("max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d")
MAXIMA = POOLED_MAXIMA | _names("max min amax amin topk sort median kthvalue")
"""Operations whose outputs are those of their inputs that are the largest or smallest."""

MATRIX_PRODUCTS = frozenset(["mm", "bmm", "addmm", "mv", "dot"])
SOFTMAX = frozenset(["_softmax", "_safe_softmax", "softmax"])
ELEMENTWISE = "elementwise"
_MAX_POOL2D = torch.ops.aten.max_pool2d_with_indices.default
_POINTWISE = _names("hardswish _prelu_kernel log_sigmoid_forward rsub masked_fill")  # not tagged as such


@dataclass(frozen=True, eq=False, repr=False)
class Operation:
    """One step from the network's input to its logit.

    name: that of ATen without its overload, e.g. "convolution"; ELEMENTWISE for several that together are a function of
    every single number. inputs, outputs: the floating tensors that depend on the network's input; `call` computes the
    second from the first. parents: which operation made each input. arguments: all that ATen was given, by name.
    places: of pooled maxima, where in its plane each is, with the planes flattened.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: Callable[..., tuple[Tensor, ...]]
    parents: tuple[Operation | None, ...]
    arguments: Mapping[str, Any]
    pointwise: bool = False
    places: Tensor | None = None

    @property
    def constants(self) -> list[Tensor]:
        """Floating tensors among the arguments that do not depend on the network's input."""
        depends = {id(each) for each in self.inputs}
        return [each for each in tree_leaves(dict(self.arguments)) if _is_floating(each) and id(each) not in depends]


@dataclass(frozen=True)
class Trace:
    """What a network did: operations in order, from `entry` (n, c, *spatial) to `logits` (n,) or (n, classes)."""

    operations: Sequence[Operation]
    entry: Tensor
    logits: Tensor


def trace(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor | None,
    *,
    whole_norms: bool = False,
    linear_norms: bool = False,
    precise: bool = False,
) -> Trace:
    """Run the network and write down what it does on the way to the logits (n,) of its targets (n,), or to all (n, classes).

    whole_norms: normalisation is one operation; else it is the means, products and roots that it consists of.
    linear_norms: so it is where it is linear, by statistics of the training set, if PyTorch's own for processors does it.
    precise: in float64 if the network can, for rules that divide by numbers near 0.
    Raises NotOfferedError for networks that PyTorch cannot follow or whose logits do not depend on their input.
    """
    decompositions = OTHERS if whole_norms else {**OTHERS, **NORMS}
    try:
        return _recorded(model, inputs, targets, decompositions, torch.float64 if precise else None, linear_norms)
    except (RuntimeError, TypeError) as error:
        if "autograd.Function" in str(error):
            raise NotOfferedError("this model uses a torch.autograd.Function, into which nothing can look") from error
        if not precise:
            reason = " ".join(str(error).split())[:200]
            raise NotOfferedError(f"PyTorch cannot record what this model computes: {reason}") from error
        return trace(model, inputs, targets, whole_norms=whole_norms, linear_norms=linear_norms)


def _recorded(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor | None,
    decompositions: Mapping[str, Decomposition],
    dtype: torch.dtype | None,
    linear_norms: bool,
) -> Trace:
    entry = inputs.detach().clone() if dtype is None else inputs.detach().to(dtype, copy=True)
    weights = {name: value.detach() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    if dtype is not None:
        weights = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}
    recorder = _Recorder(entry, decompositions, linear_norms)

    def run(given: Tensor) -> Tensor:
        given = given.clone()  # which a network may work on in place
        logits: Tensor = torch.func.functional_call(model, weights, (given,))
        return logits.clone() if targets is None else target_logits(logits, targets)

    with torch.no_grad(), _in_small_steps(), recorder:
        logits = torch.func.functionalize(run)(entry)
    last = recorder.operations[-1].outputs[0]
    if last.data_ptr() != logits.data_ptr():
        raise NotOfferedError("this model's logits do not depend on its input")
    return Trace(recorder.operations, entry, last)


def propagate(found: Trace, start: Tensor, rule: Rule, beside: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
    """Go back from what is known of the logits (n,): the same of the input, and of the tensors `beside`, if any.

    What is known of a tensor adds up over the operations that use it.
    """
    known: dict[int, Tensor] = {id(found.logits): start}
    asked = (found.entry, *beside)
    kept = set(map(id, asked))
    for operation in reversed(found.operations):
        of_outputs = [known.get(key) if key in kept else known.pop(key, None) for key in map(id, operation.outputs)]
        if all(each is None for each in of_outputs):
            continue
        for tensor, part in zip(operation.inputs, rule(operation, of_outputs), strict=True):
            if part is not None:
                before = known.get(id(tensor))
                known[id(tensor)] = part if before is None else before + part
    return tuple(known[id(each)] if id(each) in known else torch.zeros_like(each) for each in asked)


def gradient(operation: Operation, of_outputs: Parts, at: Sequence[Tensor] | None = None) -> Parts:
    """The rule by which gradients go back, if wanted at other inputs than those that the operation had; as precise as those
    of the outputs, which may be less so than the operation."""
    known = None if of_outputs[0] is None else derivative(operation, at, of_outputs[0])
    parts = _by_autograd(operation, of_outputs, at or operation.inputs) if known is None else known
    for output, of in zip(operation.outputs, of_outputs, strict=True):
        if of is not None and of.dtype != output.dtype:
            return [None if part is None else part.to(of.dtype) for part in parts]
    return parts


def _by_autograd(operation: Operation, of_outputs: Parts, at: Sequence[Tensor]) -> Parts:
    with torch.enable_grad():
        entries = [each.detach().requires_grad_() for each in at]
        outputs = operation.call(*entries)
        pairs = [(out, of) for out, of in zip(outputs, of_outputs, strict=True) if of is not None and out.requires_grad]
        if not pairs:
            return [None] * len(entries)
        wanted, given = zip(*((out, of.to(out.dtype)) for out, of in pairs), strict=True)
        return torch.autograd.grad(wanted, entries, given, allow_unused=True)


@contextmanager
def _in_small_steps() -> Any:
    """Attention as products and a soft-max, never as one operation."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


_Made = tuple[Any, list[Any], Any]


class _Recorder(TorchDispatchMode):
    def __init__(self, entry: Tensor, decompositions: Mapping[str, Decomposition], linear_norms: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._decompositions = decompositions
        self._linear_norms = linear_norms
        self._seen: list[Any] = [entry]  # kept, so that ids stay those of these tensors
        self._depends = {id(entry)}
        self._maker: dict[int, Operation] = {}
        self._instead: dict[int, Tensor] = {}
        # Tensors that are functions of another one, number by number: of which one, and how they were made from what.
        self._source: dict[int, Tensor] = {}
        self._made: dict[int, _Made] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves, structure = _flat(args, kwargs)
        if self._instead:
            leaves = [self._instead.get(id(leaf), leaf) for leaf in leaves]
            args, kwargs = _nested(leaves, structure)
        places = [place for place, leaf in enumerate(leaves) if id(leaf) in self._depends]
        if not places and not any(id(leaf) in self._source for leaf in leaves):
            return func(*args, **kwargs)
        if places and func._schema.is_mutable:
            return self._in_place(func, types, args, kwargs)
        name = func.overloadpacket.__name__
        arguments = _named(func, args, kwargs)
        linear = self._linear_norms and name == "native_batch_norm" and not arguments["training"] and places == [0]
        if places and name in self._decompositions and not linear:
            with self:
                parts = self._decompositions[name](arguments)
            missing = len(func._schema.returns) - len(parts)
            return (*parts, *[parts[0].new_empty(0)] * missing) if len(func._schema.returns) > 1 else parts[0]
        out = _pooled(func, args) if func is _MAX_POOL2D and not kwargs else func(*args, **kwargs)
        made = _tensors(out)
        self._seen += [leaves, made]
        pointwise = _is_pointwise(func)
        source = self._source_of(leaves, made) if pointwise or name == "_to_copy" else None
        if source is not None:
            self._source[id(made[0])] = source
            self._made[id(made[0])] = func, leaves, structure
        floating = [place for place, each in enumerate(made) if _is_floating(each)]
        of_shape_alone = name.startswith("new_") or name.endswith("_like")
        if places and floating and name != "detach" and not of_shape_alone:
            inputs, outputs = [leaves[place] for place in places], [made[place] for place in floating]
            together = source is not None and sum(isinstance(leaf, Tensor) and leaf.ndim > 0 for leaf in leaves) > 1
            if together:
                assert source is not None
                self._add(ELEMENTWISE, [source], outputs, self._again(made[0], source), {}, True)
            else:
                call = _call(func, leaves, structure, places, floating)
                where = made[1] if name in POOLED_MAXIMA else None
                self._add(name, inputs, outputs, call, arguments, pointwise, where)
        return out

    def _in_place(self, func: Any, types: Any, args: Any, kwargs: Any) -> Tensor:
        """What PyTorch itself does in place, with what it has just made: a new tensor stands for the old one from here on."""
        name = func.overloadpacket.__name__
        target: Tensor = args[0]
        functional = getattr(torch.ops.aten, name.removesuffix("_"), None)
        if name != "as_strided_":  # which here only says how numbers lie in memory
            out_of_place = getattr(functional, func._overloadname, None)
            if out_of_place is None or not name.endswith("_") or torch.Tag.inplace_view in func.tags:
                raise NotOfferedError(f"nothing can look into `{name}`, which this model computes")
            self._instead[id(target)] = self.__torch_dispatch__(out_of_place, types, args, kwargs)
        return target

    def _add(self, name: str, inputs: list[Tensor], outputs: list[Tensor], *others: Any) -> None:
        call, *rest = others
        parents = tuple(self._maker.get(id(each)) for each in inputs)
        operation = Operation(name, tuple(inputs), tuple(outputs), call, parents, *rest)
        self.operations.append(operation)
        self._depends |= set(map(id, outputs))
        self._maker |= dict.fromkeys(map(id, outputs), operation)

    def _source_of(self, leaves: list[Any], made: list[Tensor]) -> Tensor | None:
        """The one tensor of which all of these are functions, number by number; None if there is no such tensor."""
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and (leaf.ndim or id(leaf) in self._depends)]
        sources = {
            id(each): each
            for each in (self._source.get(id(leaf), leaf if id(leaf) in self._depends else None) for leaf in tensors)
        }
        source = next(iter(sources.values())) if len(sources) == 1 else None
        return source if source is not None and source.shape == made[0].shape else None

    def _again(self, tensor: Tensor, source: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """The function that leads from a source to one of the tensors that are made of it."""
        made = self._made

        def value(each: Any, values: dict[int, Any]) -> Any:
            if id(each) not in made and id(each) not in values:
                return each
            if id(each) not in values:
                func, leaves, structure = made[id(each)]
                args, kwargs = _nested([value(leaf, values) for leaf in leaves], structure)
                values[id(each)] = _tensors(func(*args, **kwargs))[0]
            return values[id(each)]

        return lambda given: (value(tensor, {id(source): given}),)


def _call(
    func: Any, leaves: list[Any], structure: Any, places: list[int], floating: list[int]
) -> Callable[..., tuple[Tensor, ...]]:
    """The function that computes the floating outputs of an operation from those of its arguments at `places`."""

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = list(leaves)
        for place, value in zip(places, inputs, strict=True):
            given[place] = value
        args, kwargs = _nested(given, structure)
        made = _tensors(func(*args, **kwargs))
        return tuple(made[place] for place in floating)

    return call


def _pooled(func: Any, args: Any) -> tuple[Tensor, ...]:
    """With channels last, which PyTorch pools several times as fast on a CPU: the same numbers and places."""
    images, *rest = args
    if images.ndim != 4 or images.device.type != "cpu" or not images.is_contiguous():
        return tuple(func(*args))
    return tuple(each.contiguous() for each in func(images.contiguous(memory_format=torch.channels_last), *rest))


def _flat(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """What an operation is given, with lists of tensors opened, and how to put it together again.

    PyTorch's own `tree_flatten` opens lists of numbers, too, and takes longer for it than a small operation.
    """
    leaves: list[Any] = []
    counts: list[int | None] = []
    for each in (*args, *kwargs.values()):
        opened = isinstance(each, list | tuple) and any(isinstance(one, Tensor) for one in each)
        leaves += each if opened else [each]
        counts.append(len(each) if opened else None)
    return leaves, (counts, len(args), tuple(kwargs))


def _nested(leaves: Sequence[Any], structure: Any) -> tuple[list[Any], dict[str, Any]]:
    counts, positional, names = structure
    rest = iter(leaves)
    values = [next(rest) if count is None else list(islice(rest, count)) for count in counts]
    return values[:positional], dict(zip(names, values[positional:], strict=True))


def _tensors(out: Any) -> list[Tensor]:
    """Those that an operation answers with."""
    return [out] if isinstance(out, Tensor) else [each for each in tree_leaves(out) if isinstance(each, Tensor)]


@cache
def _is_pointwise(func: Any) -> bool:
    return torch.Tag.pointwise in func.tags or func.overloadpacket.__name__ in _POINTWISE


def _named(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of an operation by name, with those that were left out."""
    names, defaults = _expected(func)
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


@cache
def _expected(func: Any) -> tuple[list[str], dict[str, Any]]:
    """Names of an operation's arguments, and what those are that may be left out."""
    expected = func._schema.arguments
    return [each.name for each in expected], {
        each.name: each.default_value for each in expected if each.has_default_value()
    }


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
