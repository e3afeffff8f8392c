"""Layer-wise relevance propagation: operations share out the relevance of their outputs among their inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from harness.methods.baselines.attribution._operations import (
    MATRIX_PRODUCTS,
    MAXIMA,
    MOVES,
    SOFTMAX,
    SUMS,
    Operation,
    Parts,
    Trace,
    gradient,
    propagate,
    trace,
)
from harness.methods.outputs import NotOfferedError

Share = Callable[[Operation, Tensor], Parts]
"""(operation, relevance of its output) -> relevance of each of its inputs."""

_LEAST = 1e-12  # what denominators are kept away from 0
_FACTORS = {"mm": ("self", "mat2"), "bmm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "mv": ("self", "vec")}
_FACTORS |= {"dot": ("self", "tensor"), "convolution": ("input", "weight")}


def convolutional_relevance(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, epsilon: float, gamma: float
) -> Tensor:
    """Relevance (n, c, *spatial) of inputs; its sum over an input is the target's logit, less what biases take.

    Bach et al., PLOS ONE 2015, and Montavon et al. 2019: the gamma rule for products with a matrix of weights (linear
    layers) and their bias; the epsilon rule for convolutions, pooling and sums; functions of single numbers and
    soft-max hand relevance on; both factors of a product get half (Achtibat et al., ICML 2024), but what divides gets
    none, so that normalisation counts as a product with constants (Ali et al., ICML 2022).
    """
    found = trace(model, inputs, targets, precise=True)
    biases = _biases(found)

    def rule(operation: Operation, of_outputs: Parts) -> Parts:
        relevance = of_outputs[0]
        if relevance is None or operation.name in MOVES:
            return gradient(operation, of_outputs)
        if operation in biases:
            bias = biases[operation]
            return [relevance] if bias is None else [_gamma_rule(operation, bias, gamma, relevance)]
        if _is_linear(operation):
            return [_gamma_rule(operation, None, gamma, relevance)]
        if operation.name == "convolution" or operation.name in SUMS | MAXIMA or _is_sum(operation, of_constants=True):
            return _epsilon_rule(operation, epsilon, relevance)
        return _shared_rule(operation, relevance, lambda each, of: _halves(_epsilon_rule(each, epsilon, of)))

    return propagate(found, found.logits, rule)[0].to(inputs.dtype)


def transformer_relevance(
    found: Trace, beside: Sequence[Tensor] = (), *, latec: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """Relevance of the input (1, c, *spatial) of a recorded network (`whole_norms`), and of tensors `beside` it.

    Chefer et al., CVPR 2021, from relevance 1 of the target: positive contributions count in linear layers and
    convolutions (alpha = 1), normalisation, functions of single numbers and soft-max hand it on, sums and products
    share it out. latec: in LATEC's reading, the embedding of positions takes its share too, and the convolution that
    makes tokens of the input has a rule of its own.
    """

    def rule(operation: Operation, of_outputs: Parts) -> Parts:
        relevance = of_outputs[0]
        if relevance is None or operation.name in MOVES:
            return gradient(operation, of_outputs)
        if _is_linear(operation) or operation.name == "convolution":
            at_entry = latec and operation.inputs[0] is entry and operation.name == "convolution"
            return [(_entry_rule if at_entry else _positive_rule)(operation, relevance)]
        if _is_sum(operation, of_constants=False) or operation.name in SUMS | MAXIMA:
            return _conserved(relevance, _epsilon_rule(operation, _LEAST, relevance))
        if latec and operation.name == "add" and any(each.ndim == relevance.ndim for each in operation.constants):
            constant = relevance * _ratio(operation.outputs[0] - operation.inputs[0], operation.outputs[0])
            return _conserved(relevance, [*_epsilon_rule(operation, _LEAST, relevance), constant])[:1]
        return _shared_rule(operation, relevance, lambda each, of: _conserved(of, _epsilon_rule(each, _LEAST, of)))

    entry = _behind_copies(found)
    relevance, *others = propagate(found, torch.ones_like(found.logits), rule, beside)
    return relevance, others


def _shared_rule(operation: Operation, relevance: Tensor, share: Share) -> Parts:
    """What all kinds of relevance have in common; `share` is how the factors of a product get theirs."""
    if operation.name in SOFTMAX or "norm" in operation.name or (operation.pointwise and len(operation.inputs) == 1):
        return [relevance.sum_to_size(operation.inputs[0].shape)]
    if operation.name == "div":
        return [relevance.sum_to_size(operation.inputs[0].shape), None]
    if operation.name == "mul":
        divisors = [_is_divisor(parent) for parent in operation.parents]
        if sum(divisors) == 1:
            pairs = zip(operation.inputs, divisors, strict=True)
            return [None if divides else relevance.sum_to_size(each.shape) for each, divides in pairs]
    if operation.name == "mul" or operation.name in MATRIX_PRODUCTS - {"addmm"}:
        return share(operation, relevance)
    if operation.name in ("where", "maximum", "minimum", "masked_fill"):
        return gradient(operation, [relevance])
    raise NotOfferedError(f"relevance has no rule for `{operation.name}`, which this model computes")


def _is_linear(operation: Operation) -> bool:
    return operation.name in MATRIX_PRODUCTS and len(operation.inputs) == 1


def _is_sum(operation: Operation, *, of_constants: bool) -> bool:
    """A sum or difference of two inputs, or of one and a constant tensor, which is a bias: not of a mere number."""
    two = len(operation.inputs) == 2 or (of_constants and any(each.ndim for each in operation.constants))
    return operation.name in ("add", "sub", "rsub") and two


def _is_divisor(made_by: Operation | None) -> bool:
    """Whether a factor is one over something."""
    while made_by is not None and made_by.name in MOVES and len(made_by.inputs) == 1:
        made_by = made_by.parents[0]
    if made_by is None or len(made_by.inputs) != 1:
        return False
    exponent = made_by.arguments.get("exponent")
    below = made_by.name == "div" and made_by.arguments["other"] is made_by.inputs[0]
    return made_by.name in ("rsqrt", "reciprocal") or below or (isinstance(exponent, int | float) and exponent < 0)


def _biases(found: Trace) -> dict[Operation, Tensor | None]:
    """The bias of products with weights to which one is added apart from them; of those additions, None."""
    uses = Counter(id(each) for operation in found.operations for each in operation.inputs)
    biases: dict[Operation, Tensor | None] = {}
    for addition in found.operations:
        constants = addition.constants
        if addition.name != "add" or [each.ndim for each in constants] != [1] or addition.arguments["alpha"] != 1:
            continue
        product, made = addition.parents[0], addition.inputs[0]
        while product is not None and product.name in ("view", "_unsafe_view") and uses[id(made)] == 1:
            made, product = product.inputs[0], product.parents[0]
        fits = constants[0].shape[0] == made.shape[-1] == addition.inputs[0].shape[-1]
        if (
            product is not None
            and product.name in ("mm", "bmm")
            and _is_linear(product)
            and uses[id(made)] == 1
            and fits
        ):
            biases |= {product: constants[0], addition: None}
    return biases


def _epsilon_rule(operation: Operation, epsilon: float, relevance: Tensor) -> Parts:
    """In proportion to each input's part of the output, the denominator away from 0 by epsilon."""
    nothing = [None] * (len(operation.outputs) - 1)
    parts = gradient(operation, [_ratio(relevance, operation.outputs[0], epsilon), *nothing])
    return [None if part is None else each * part for each, part in zip(operation.inputs, parts, strict=True)]


def _halves(parts: Parts) -> Parts:
    """Of the relevance of both factors together, which is twice that of their product."""
    return [None if part is None else part / 2 for part in parts]


def _gamma_rule(operation: Operation, bias: Tensor | None, gamma: float, relevance: Tensor) -> Tensor:
    """The epsilon rule, with positive weights made larger."""
    product, weight = _weighted(operation)
    if operation.name == "addmm":
        weight, bias = weight * operation.arguments["alpha"], operation.arguments["self"] * operation.arguments["beta"]
    raised = weight + gamma * weight.clamp_min(0)
    inputs = operation.inputs[0]
    output = product(inputs, raised) if bias is None else product(inputs, raised) + bias
    return inputs * _transposed(product, raised, inputs, _ratio(relevance, output))


def _positive_rule(operation: Operation, relevance: Tensor) -> Tensor:
    """In proportion to each input's positive contribution to the output, biases aside."""
    product, weight = _weighted(operation)
    (inputs,) = operation.inputs
    pairs = [(inputs.clamp_min(0), weight.clamp_min(0)), (inputs.clamp_max(0), weight.clamp_max(0))]
    share = _ratio(relevance, sum((product(*pair) for pair in pairs[1:]), product(*pairs[0])))
    first, second = (each * _transposed(product, signed, each, share) for each, signed in pairs)
    return first + second


def _entry_rule(operation: Operation, relevance: Tensor) -> Tensor:
    """LATEC's rules for what makes tokens: z^B for images (Montavon et al. 2017), for volumes that of positive
    contributions, those of positive and of negative numbers each by themselves."""
    product, weight = _weighted(operation)
    (inputs,) = operation.inputs
    above, below = weight.clamp_min(0), weight.clamp_max(0)
    if inputs.ndim == 5:
        pairs = [(inputs.clamp_min(0), above), (inputs.clamp_max(0), below)]
        parts = [x * _transposed(product, w, x, _ratio(relevance, product(x, w))) for x, w in pairs]
        return parts[0] + parts[1]
    if inputs.ndim != 4 or inputs.shape[1] != 3:
        return _positive_rule(operation, relevance)
    terms = [(inputs, weight), (-inputs.amin().expand_as(inputs), above), (-inputs.amax().expand_as(inputs), below)]
    share = _ratio(relevance, sum((product(*term) for term in terms[1:]), product(*terms[0])))
    first, second, third = (each * _transposed(product, w, each, share) for each, w in terms)
    return first + second + third


def _weighted(operation: Operation) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    """The operation as a function of its input and of weights, without a bias, and those weights."""
    first, second = (operation.arguments[name] for name in _FACTORS[operation.name])
    (inputs,) = operation.inputs
    if operation.name == "convolution" and first is inputs:
        names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
        rest = [operation.arguments[name] for name in names]
        return lambda x, weight: torch.ops.aten.convolution(x, weight, None, *rest), second
    if first is inputs and operation.name != "convolution":
        return lambda x, weight: torch.matmul(x, weight), second
    if second is inputs and operation.name != "convolution":
        return lambda x, weight: torch.matmul(weight, x), first
    raise NotOfferedError(f"relevance has no rule for `{operation.name}` with weights that depend on the input")


def _transposed(product: Callable[[Tensor, Tensor], Tensor], weight: Tensor, at: Tensor, outputs: Tensor) -> Tensor:
    """The transposed product: from numbers of the outputs to those of the inputs."""
    with torch.enable_grad():
        entry = at.detach().requires_grad_()
        return torch.autograd.grad(product(entry, weight), entry, outputs)[0]


def _conserved(relevance: Tensor, parts: Parts) -> Parts:
    """Scale parts so that their sums share the sum of relevance as their magnitudes do (Chefer et al., eq. 9)."""
    total, sums = relevance.sum(), [None if part is None else part.sum() for part in parts]
    magnitude = torch.stack([each.abs() for each in sums if each is not None]).sum()
    return [
        None if part is None or each is None else part * _ratio(total * _ratio(each.abs(), magnitude), each)
        for part, each in zip(parts, sums, strict=True)
    ]


def _ratio(numerator: Tensor, denominator: Tensor, least: float = _LEAST) -> Tensor:
    """numerator / denominator, with the denominator `least` further away from 0; 0 where it is 0 itself."""
    away = denominator + least * denominator.sign()
    return torch.where(denominator == 0, 0.0, numerator / torch.where(denominator == 0, 1.0, away))


def _behind_copies(found: Trace) -> Tensor:
    """The network's input as its first operation got it."""
    return found.operations[0].outputs[0]
