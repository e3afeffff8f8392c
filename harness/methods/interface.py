"""What a user implements: a decorated function or class.

Decorating does nothing but write down what is declared; the harness reads the same declaration from
the file's syntax tree without running it, so keep the arguments literal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference

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
    needs: tuple[Literal["inputs", "model"], ...] = (),
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
    needs: `"inputs"` and `"model"` for methods that must see the images or run the network.
    head: run only on models trained with the confidence head of this name, e.g. `"devries"`.
    classifier: whose mistakes the score predicts: the network's (`"point"`), or those of the mean
        over the Monte-Carlo-dropout members (`"mc-mean"`).
    citation: where the method comes from.
    reference, oracle: reserved for the harness's own bounds and sanity rows.
    """

    def declare(method: Method) -> Method:
        declared = {
            "task": "confidence",
            "version": version,
            "name": name,
            "needs": tuple(needs),
            "head": head,
            "classifier": classifier,
            "citation": citation,
            "reference": reference,
            "oracle": oracle,
        }
        setattr(method, DECLARATION, declared)
        return method

    return declare
