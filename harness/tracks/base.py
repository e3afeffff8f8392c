"""The first of the three seams: how a kind of method is exercised under a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.client import MethodClient
    from harness.spec.result import Record, Summary
    from harness.spec.run import RunSpec, Unit

Outputs = Mapping[str, "np.ndarray"]
"""What a method said in one unit, as stored: named arrays."""


class Track(Protocol):
    """One benchmark and one method of its kind.

    `run` may talk to the method through its client as often as it likes; `score` sees only what was
    stored, so that boards and the submission gate compute the same numbers.
    """

    def units(self, spec: RunSpec) -> tuple[Unit, ...]:
        """All units of a run, in the order in which results list them."""
        ...

    def run(self, unit: Unit, method: MethodClient) -> Outputs:
        """Exercise the method. Raises MethodError."""
        ...

    def score(self, unit: Unit, outputs: Outputs) -> tuple[Record, ...]:
        """Every metric of the protocol, from stored outputs alone."""
        ...

    def summarize(self, answered: Mapping[Unit, Outputs]) -> tuple[Summary, ...]:
        """Scores over seeds with their intervals, from stored outputs alone."""
        ...

    def uncomputed(self) -> int:
        """How many pieces of work are to be done before units can start, for plans."""
        ...
