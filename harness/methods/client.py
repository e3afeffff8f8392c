"""How a track talks to a method: one call, arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.method import MethodSpec
    from harness.spec.result import Passes, UnitStatus


class MethodError(Exception):
    """The method did not answer properly. Becomes the status of the unit; the run goes on."""

    def __init__(self, status: UnitStatus, reason: str) -> None:
        super().__init__(reason)
        self.status: UnitStatus = status
        self.reason = reason


class MethodClient(Protocol):
    """A method that lives elsewhere.

    `state` is for the caller: it names what the method has learnt so far (the model it was fitted
    on) and falls back to None whenever the method had to be started afresh. `passes` is for it, too: calls add to it
    what they passed through networks, and whoever wants to know sets it to None before; None where it got no network. It
    is what the method's process says, so no more to be believed than the time that a method takes.
    """

    state: str | None
    passes: Passes | None

    @property
    def spec(self) -> MethodSpec: ...

    def call(
        self, what: str, arrays: Mapping[str, np.ndarray], *, seed: int, meta: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Ask the method. Raises MethodError for a crash, a time-out, an exception or a malformed answer."""
        ...

    def begin_anew(self) -> None:
        """Forget all that the method has kept of earlier calls: its module is loaded again, into an empty folder.

        Called where something begins that any process may be given first (a network, a query), so that no answer rests on
        what else this process had before.
        """
        ...
