"""What a user implements: a decorated function or class.

Decorating does nothing but write down what is declared; the harness reads the same declaration from
the file's syntax tree without running it, so keep the arguments literal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from harness.methods.context import Context
    from harness.methods.outputs import Outputs, Reference
    from harness.methods.pool import ClassificationPool, Picks, SegmentationPool

Method = TypeVar("Method", bound=Callable[..., Any])

DECLARATION = "__harness__"


@runtime_checkable
class ConfidenceScore(Protocol):
    """A confidence scoring function with something to learn first.

    `fit` is optional and called once per trained model; a new object is made for each.
    """

    def score(self, outputs: Outputs) -> Tensor:
        """Confidence of each sample, shape (n,), higher = more confident."""
        ...


@runtime_checkable
class FittedConfidenceScore(ConfidenceScore, Protocol):
    """A confidence scoring function that learns from training or validation outputs."""

    def fit(self, reference: Reference) -> None:
        """Learn from labelled outputs that are part of no study."""
        ...


def confidence_score(
    *,
    version: str,
    name: str | None = None,
    needs: tuple[Literal["inputs", "model", "members"], ...] = (),
    head: str | None = None,
    classifier: Literal["point", "mc-mean"] = "point",
    citation: str = "",
    reference: bool = False,
    oracle: bool = False,
) -> Callable[[Method], Method]:
    """Declare a confidence scoring function.

    The decorated function maps `outputs` (see `harness.methods.outputs.Outputs`) to a floating
    tensor of shape (n,), higher = more confident; a decorated class has `score(outputs)` and may
    have `fit(reference)`.

    version: of the method; a change that may change a score needs a new one.
    name: on boards; by default the function's name with `-` for `_`.
    needs: `"inputs"` and `"model"` for methods that must see the images or run the network; `"members"` for methods that
        look at Monte-Carlo dropout while they speak about the network's own predictions.
    head: run only on models trained with the confidence head of this name, e.g. `"devries"`.
    classifier: whose mistakes the score predicts: the network's (`"point"`), or those of the mean
        over the Monte-Carlo-dropout members (`"mc-mean"`).
    citation: where the method comes from.
    reference, oracle: reserved for the harness's own bounds and sanity rows.
    """

    return _declaring(
        "confidence",
        version=version,
        name=name,
        needs=tuple(needs),
        head=head,
        classifier=classifier,
        citation=citation,
        reference=reference,
        oracle=oracle,
    )


@runtime_checkable
class QueryStrategy(Protocol):
    """A query strategy with full control. A new object is made for each campaign, and again after an interruption."""

    def query(self, pool: SegmentationPool | ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        """Exactly `budget` patches or images to annotate next."""
        ...


def query_strategy(
    *,
    version: str,
    name: str | None = None,
    tasks: tuple[Literal["segmentation", "classification"], ...] = ("segmentation", "classification"),
    needs: tuple[Literal["members", "features", "inputs", "names"], ...] = (),
    citation: str = "",
    reference: bool = False,
    oracle: bool = False,
) -> Callable[[Method], Method]:
    """Declare a query strategy for active learning.

    The decorated function maps the committee's `probabilities` (members, classes, *positions), a float tensor, to a
    score of every position (*positions), higher = query first. Positions are the voxels of one image (z, y, x), of
    which the harness takes means over patches, or the images (n,) of a pool. A decorated class has
    `query(pool, budget, rng)`; see `harness.methods.pool`. Patches inside images, without overlap, and
    their number are checked; equal scores are ordered by the seeded generator.

    version: of the strategy; a change that may change a query needs a new one.
    name: on boards; by default the function's name with `-` for `_`.
    tasks: what the strategy is made for. Elsewhere it is *not applicable*, which is no failure.
    needs: `"members"` for a committee where one costs more than the trained network, `"features"` of the encoder,
        `"inputs"` for the images; `"names"`, for queries that were made elsewhere, to be told which image of the data set
        is which, what order and names of a pool else do not say: a reviewer is told of it.
    citation: where the strategy comes from.
    reference, oracle: reserved for the harness's own rows; an oracle reads the labels of unlabelled data.
    """

    return _declaring(
        "query",
        version=version,
        name=name,
        tasks=tuple(tasks),
        needs=tuple(needs),
        citation=citation,
        reference=reference,
        oracle=oracle,
    )


@runtime_checkable
class AttributionMetric(Protocol):
    """A metric of attribution maps as a class: made anew for each network, which it may learn about in its first call."""

    def score(self, model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, context: Context) -> Tensor:
        """Score of each map (n,), in the declared direction."""
        ...


def attribution_metric(
    *,
    version: str,
    higher_is_better: bool,
    criterion: Literal["faithfulness", "robustness", "complexity", "localisation", "randomisation"],
    name: str | None = None,
    modalities: tuple[Literal["image", "volume", "point-cloud"], ...] = ("image", "volume", "point-cloud"),
    architectures: tuple[Literal["cnn", "transformer"], ...] = ("cnn", "transformer"),
    stochastic: bool = False,
    variant_of: str | None = None,
    citation: str = "",
    reference: bool = False,
) -> Callable[[Method], Method]:
    """Declare a metric of attribution maps: a function, or a class with `score`.

    The decorated function maps `(model, inputs, targets, maps)`, or `(model, inputs, targets, maps, context)`, to a
    floating tensor of shape (n,): inputs (n, c, *spatial) float32, targets (n,) the classes that were explained, maps
    (n, 1 or c, *spatial) float32, higher = speaks more for the target. NaN says that the metric has no meaning for a
    sample. Each map is scored by itself, whatever else is in the batch. `context` is a
    `harness.methods.context.Context`, as XAI methods have it. Who made a map is never told, nor where the truth lies,
    and nobody can be asked for further maps.

    The model is in evaluation mode, and a copy for each call: leave its weights and mode alone, remove your hooks.

    version: of the metric; a change that may change a score needs a new one.
    higher_is_better: which scores speak for a map.
    criterion: what the metric claims to measure; it is compared with the other metrics of this criterion.
    name: on boards; by default the function's name with `-` for `_`.
    modalities, architectures: what the metric is made for. Elsewhere it is *not applicable*, which is no failure.
    stochastic: whether scores of the same map differ from seed to seed.
    variant_of: a metric of the harness that this one is a version of (`harness list metrics`); the consensus that it
        is compared with is formed without it.
    citation: where the metric comes from.
    reference: reserved for the harness's own sanity rows.
    """

    return _declaring(
        "attribution-metric",
        version=version,
        higher_is_better=higher_is_better,
        criterion=criterion,
        name=name,
        modalities=tuple(modalities),
        architectures=tuple(architectures),
        stochastic=stochastic,
        variant_of=variant_of,
        citation=citation,
        reference=reference,
    )


@runtime_checkable
class Explainer(Protocol):
    """An XAI method as a class: made anew for each trained model, which it may learn about in its first call."""

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
        """Attribution maps (n, 1 or c, *spatial), higher = speaks more for the target."""
        ...


def explainer(
    *,
    version: str,
    name: str | None = None,
    modalities: tuple[Literal["image", "volume", "point-cloud"], ...] = ("image", "volume", "point-cloud"),
    architectures: tuple[Literal["cnn", "transformer"], ...] = ("cnn", "transformer"),
    stochastic: bool = False,
    citation: str = "",
    reference: bool = False,
) -> Callable[[Method], Method]:
    """Declare an XAI method: a function, a class, or a factory of captum attributions.

    The decorated function maps `(model, inputs, targets)`, or `(model, inputs, targets, context)`, to attribution
    maps: inputs (n, c, *spatial) float32, targets (n,) the class to explain, maps (n, c or 1, *spatial) floating,
    higher = speaks more for the target. `context` is a `harness.methods.context.Context`. A function of `model`
    alone is a factory: it returns an object with `attribute(inputs, target=...)`, as captum's have. A class has
    `explain` with the arguments of the function.

    The model is in evaluation mode, and a copy for each call: leave its weights and mode alone, remove your hooks.
    Unless `stochastic`, each sample is explained by itself: all come shuffled, and some again in other company; a map that
    is another then is *invalid*.

    version: of the method; a change that may change a map needs a new one.
    name: on boards; by default the function's name with `-` for `_`.
    modalities, architectures: what the method is made for. Elsewhere it is *not applicable*, which is no failure.
    stochastic: whether maps of the same input differ from seed to seed. Its batches are those of any run, in one order.
    citation: where the method comes from.
    reference: reserved for the harness's own sanity rows.
    """

    return _declaring(
        "attribution",
        version=version,
        name=name,
        modalities=tuple(modalities),
        architectures=tuple(architectures),
        stochastic=stochastic,
        citation=citation,
        reference=reference,
    )


def _declaring(task: str, **declared: Any) -> Callable[[Method], Method]:
    """A decorator that writes a declaration on a method and gives it back; of what has one, on another with the same code."""

    def declare(method: Method) -> Method:
        own = _same(method) if DECLARATION in vars(method) else method
        setattr(own, DECLARATION, {"task": task, **declared})
        return own

    return declare


def _same(method: Method) -> Method:
    """Another function or class that does what this one does."""
    if isinstance(method, type):
        return cast(Method, type(method.__name__, (method,), {"__doc__": method.__doc__}))
    return cast(Method, wraps(method)(lambda *given, **named: method(*given, **named)))
