"""Stored outputs beside those of the same method run anew: what differs, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.execution.answers import measured, outputs_id
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.spec.submission import Allowance
from harness.tracks.base import Answers, Tolerance, Track
from harness.tracks.repetition import magnitudes

if TYPE_CHECKING:
    import numpy as np

_INEXACT = "fc"  # kinds of dtypes
_WORTH = 2e-3
"""Of a metric of a unit, or of its standard error where that is larger, as for a mean of signed scores that is nearly 0: of
some four hundred units of honest rows, in another order, none was seen to differ by 4e-4."""


class OutputComparison:
    """Stored outputs beside those of the run made anew, unit by unit; keeps what was allowed and found of each output."""

    def __init__(self, track: Track, tolerance: float | None) -> None:
        self._track = track
        self._tolerance = tolerance
        self._found: dict[str, float] = {}
        self._forked: dict[str, int] = {}

    @property
    def allowances(self) -> dict[str, Allowance]:
        """By name, of the floating-point outputs that were compared."""
        return {
            name: Allowance(
                allowed=self._allowed(name).relative,
                reason=self._allowed(name).reason,
                found=largest if math.isfinite(largest) else None,
                forked=self._forked.get(name, 0),
            )
            for name, largest in sorted(self._found.items())
        }

    def differences(self, stored: Answers | None, again: Answers | None, ended: UnitResult) -> Iterator[str]:
        """A sentence for everything in which a unit came out differently."""
        if again is None and stored is None:
            if ended.status != "not-applicable":
                yield f"it was not applicable, and now ended as {ended.status}: {ended.reason}."
        elif again is None:
            yield f"it had scores, and now ended as {ended.status}: {ended.reason}."
        elif stored is None:
            yield "it has scores now, and had none."
        elif set(stored) != set(again):
            yield f"its outputs are now {', '.join(sorted(again))}, and were {', '.join(sorted(stored))}."
        else:
            yield from self._array_differences(stored, again)

    def _array_differences(self, stored: Answers, again: Answers) -> Iterator[str]:
        for name in sorted(stored):
            old, new = stored[name], again[name]
            if old.shape != new.shape or old.dtype.kind != new.dtype.kind:
                yield f"{name} is now {new.dtype} of shape {new.shape}, and was {old.dtype} of shape {old.shape}."
                continue
            allowed = self._allowed(name)
            count, largest = compare_values(old, new, allowed.relative)
            if old.dtype.kind in _INEXACT:
                self._found[name] = max(largest, self._found.get(name, 0.0))
            if count and _at_forks(old, new, count, allowed):
                self._forked[name] = self._forked.get(name, 0) + count
            elif count:
                yield f"{name} differs in {count} of {old.size} values, by up to {largest:.2g} of its magnitude."

    def worth(self, unit: Unit, stored: Answers, again: Answers) -> Iterator[str]:
        """A sentence for each metric that differs where outputs agree: whoever answers with numbers so large that what
        tells samples apart is within their rounding could store what he likes."""
        if outputs_id(stored) == outputs_id(again):
            return
        old, new = (measured(self._track, unit, each).scores for each in (stored, again))
        allowed = _WORTH if self._tolerance is None else self._tolerance
        for name, score in old.items():
            one, other = score.value, new[name].value if name in new else None
            if (one is None) != (other is None):
                yield f"{name} is now {_said(other)}, and was {_said(one)}."
            elif one is not None and other is not None:
                size = max(abs(one), abs(other), new[name].standard_error)
                if abs(one - other) > allowed * size:
                    yield (
                        f"{name} is now {_said(other)}, and was {_said(one)}, "
                        "from outputs that agree within their rounding."
                    )

    def _allowed(self, name: str) -> Tolerance:
        if self._tolerance is not None:
            return Tolerance(self._tolerance, "asked for")
        return self._track.tolerance(name)


def _said(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _at_forks(old: np.ndarray, new: np.ndarray, count: int, allowed: Tolerance) -> bool:
    """Whether so many values differ only as the order of nearly equal numbers lets them: few, and neither the mean nor
    the median of all, on which ranks rest, differs by more than allowed."""
    import numpy as np

    finite = np.isfinite(old)
    if count > allowed.forks * old.size or (finite != np.isfinite(new)).any():
        return False
    left, right = (each[finite].astype(np.float64) for each in (old, new))
    most = allowed.relative * float(np.median(magnitudes(left, right, right)))
    return abs(left.mean() - right.mean()) <= most and bool(abs(np.median(left) - np.median(right)) <= most)


def compare_values(old: np.ndarray, new: np.ndarray, tolerance: float) -> tuple[int, float]:
    """How many values differ by more than allowed, and the largest difference relative to the magnitude of a value.

    What is usual is what the new run says: a submission cannot claim it. NaN equals NaN, and infinity itself: the same
    answer, however unusable, has come out again.
    """
    import numpy as np

    allowed = tolerance if old.dtype.kind in _INEXACT else 0.0
    same = (old == new) | ((old != old) & (new != new))
    left, right = (each.astype(np.complex128 if each.dtype.kind == "c" else np.float64) for each in (old, new))
    scale = magnitudes(left, right, right).reshape(-1, *[1] * (old.ndim - 1))  # of each sample, beside all its numbers
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(np.where(same, 0.0, np.abs(left - right) / scale), nan=np.inf, posinf=np.inf)
    differs = ~same & ((distance > allowed) | (allowed == 0))
    return int(np.count_nonzero(differs)), float(np.max(distance, initial=0.0))
