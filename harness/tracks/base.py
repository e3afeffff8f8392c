"""The first of the three seams: how a kind of method is exercised under a protocol, and how such methods compare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.client import MethodClient
    from harness.spec.board import Cell
    from harness.spec.method import MethodSpec
    from harness.spec.result import Record, Summary
    from harness.spec.run import RunSpec, Unit

Outputs = Mapping[str, "np.ndarray"]
"""What a method said in one unit, as stored: named arrays."""


def _unheard(what: str, share: float) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Desk:
    """Where a long unit works. `folder` keeps what is done so far, so that a kill costs little; `report` takes what
    is being done and the share of the unit that is done, in [0, 1]."""

    folder: Path
    report: Callable[[str, float], None] = _unheard


@dataclass(frozen=True)
class Audit:
    """What of a unit's claimed scores its stored answers prove.

    `records` are recomputed from what a submission carries. Of these, `as_reported` rest on numbers that only another
    run of the method can check. `problems` are sentences about answers that no honest run gives.
    """

    records: tuple[Record, ...]
    as_reported: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tolerance:
    """How far an output may differ when a method runs again on another machine.

    `relative` is the largest difference of a floating-point number, as a share of the largest magnitude of its array;
    `reason` says in a few words where such differences come from. Integers must be equal whatever it says.
    """

    relative: float
    reason: str


EXACT = Tolerance(0.0, "whole numbers")


class Track(Protocol):
    """One benchmark and one method of its kind.

    `run` may talk to the method through its client as often as it likes; `score` sees only what was
    stored, so that boards and the submission gate compute the same numbers.
    """

    @property
    def method(self) -> MethodSpec: ...

    def metric_versions(self) -> dict[str, str]:
        """Every metric of the protocol by id. Raises UsageError for one that is not known or cannot be used."""
        ...

    def units(self, spec: RunSpec) -> tuple[Unit, ...]:
        """All units of a run, in the order in which results list them."""
        ...

    def run(self, unit: Unit, method: MethodClient, desk: Desk | None = None) -> Outputs:
        """Exercise the method. Raises MethodError. Without a desk, nothing outlives a kill."""
        ...

    def score(self, unit: Unit, outputs: Outputs) -> tuple[Record, ...]:
        """Every metric of the protocol, from stored outputs alone."""
        ...

    def summarize(self, answered: Mapping[Unit, Outputs], inapplicable: Collection[Unit] = ()) -> tuple[Summary, ...]:
        """Scores over units with their intervals, from stored outputs alone; units that are in neither are missing."""
        ...

    def submitted(self, outputs: Outputs) -> Outputs:
        """The part of a unit's outputs that a submission carries and boards are computed from."""
        ...

    def as_reported(self, unit: Unit, submitted: Outputs) -> tuple[str, ...]:
        """Metrics of the unit that rest on numbers which only another run of the method can check. Reads no data."""
        ...

    def audit(self, unit: Unit, submitted: Outputs) -> Audit:
        """Recompute what can be recomputed from the part of a unit's outputs that a submission carries.

        Raises IntegrityError for outputs that are not those of this unit.
        """
        ...

    def tolerance(self, name: str) -> Tolerance:
        """How far the output of this name may differ when the method, as it declares itself, runs again."""
        ...

    def absent(self) -> tuple[str, ...]:
        """Files that the protocol names and that are not on this machine, for plans."""
        ...

    def trainings(self, unit: Unit) -> int:
        """How many networks the unit trains; 0 where methods are asked about networks that are there."""
        ...

    def uncomputed(self) -> int:
        """How many pieces of work are to be done before units can start, for plans."""
        ...


@dataclass(frozen=True)
class Entry:
    """One method in a contest: what a comparison needs of it, and how many of its units have scores."""

    method: MethodSpec
    arrays: Mapping[str, np.ndarray]
    scored: int
    planned: int
    """Units that apply to the method."""
    exempt: int = 0
    """Units that do not."""

    @property
    def complete(self) -> bool:
        return self.scored == self.planned


@dataclass(frozen=True)
class Heading:
    """What the numbers of a contest are: `scale` is what they are multiplied with for display."""

    metric: str
    title: str
    lower_is_better: bool
    scale: float = 1.0
    explanation: str = ""
    oracles_bound: bool = True
    """Whether no honest method can be better than a row that reads labels."""


class Contest(Protocol):
    """How all methods under one benchmark are compared, column by column; the last column orders the board."""

    heading: Heading
    columns: tuple[str, ...]

    def entry(self, track: Track, answered: Mapping[Unit, Outputs]) -> dict[str, np.ndarray]:
        """What the comparison needs of one method, from what its submission carries; small enough to be cached."""
        ...

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """Those of the units that ended as not applicable which are no debt of the method."""
        ...

    def cells(self, entries: Sequence[Entry]) -> dict[str, dict[str, Cell]]:
        """Column -> method -> its cell; ranks for competitors only. A method without scores there has no cell."""
        ...

    def tied(self, entries: Sequence[Entry], name: str) -> dict[str, tuple[str, ...]]:
        """Column -> competitors that cannot be told apart from the method of this name, best first."""
        ...
