"""Rules about outputs that are formally right and yet no fair contribution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.boards.entries import leaderboard_of, method_entry, submission_entry
from harness.boards.gate.candidate import LARGEST_UNPACKED, Candidate
from harness.boards.members import unit_key
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.base import Answers
from harness.tracks.leaderboard import Entry
from harness.tracks.summary import records

if TYPE_CHECKING:
    import numpy as np

MOST_UNITS = 0.5
"""Share of units above which outputs that equal another method's count as copied."""
PERFECT = {"failure_auroc": 1.0}
"""Metric -> the value in a unit that hardly anything but its labels gives; these are bounded above."""
_ROUNDING = 1e-9


def constant(candidate: Candidate) -> Iterator[str]:
    """Answers that do not depend on the input. Rows for reference are allowed to do just that."""
    if _reference(candidate):
        return
    for unit, outputs in candidate.answers.items():
        if all(_constant(array) for array in outputs.values()):
            yield f"the outputs of {unit.label} are the same for every sample, so they rank nothing."


def duplicate(candidate: Candidate) -> Iterator[str]:
    """A new version of a method replaces its folder; the same outputs under another name are a copy."""
    own = {unit_key(unit): outputs for unit, outputs in candidate.answers.items()}
    for other in candidate.others:
        try:
            theirs = other.stored(LARGEST_UNPACKED)
        except IntegrityError:  # the gate says so where it is asked about that submission
            continue
        same = sum(key in theirs and _equal(outputs, theirs[key]) for key, outputs in own.items())
        if own and same > MOST_UNITS * len(own):
            yield f"its outputs are those of {other.about.name} in {same} of {len(own)} units."


def label_like(candidate: Candidate) -> Iterator[str]:
    """As good as labels would be: it may be true, but somebody has to look."""
    if _reference(candidate):
        return
    for unit, measurement in candidate.measured.items():
        for record in records(measurement):
            if record.value is not None and record.value >= PERFECT.get(record.metric, math.inf) - _ROUNDING:
                yield f"{record.metric} of {unit.label} is perfect ({record.value:g}); see whether it knows labels."
    leaderboard = leaderboard_of(candidate.protocol)
    oracles = [entry for entry in _oracles(candidate) if entry.complete] if leaderboard.shows.oracles_bound else []
    if not oracles:
        return
    exempt = len(leaderboard.exempt(candidate.inapplicable))
    own = method_entry(candidate.protocol, candidate.track, candidate.measured, len(candidate.units) - exempt, exempt)
    sign = -1.0 if leaderboard.shows.lower_is_better else 1.0
    for column, cells in ((name, each.cells()) for name, each in leaderboard.compared((own, *oracles)).items()):
        for oracle in oracles:
            if own.method.name not in cells or oracle.method.name not in cells:
                continue
            mine, bound = cells[own.method.name].value, cells[oracle.method.name].value
            if sign * (mine - bound) > _ROUNDING * abs(bound):
                yield f"it is better than {oracle.method.name}, which reads labels, in {column} ({mine:g}, {bound:g})."


def _reference(candidate: Candidate) -> bool:
    """The harness's own bounds and sanity rows; that it is a baseline was checked against the harness."""
    method = candidate.about.method
    return method.origin == "baseline" and (method.oracle or method.reference)


def _oracles(candidate: Candidate) -> Iterator[Entry]:
    for other in candidate.others:
        if other.about.method.oracle and other.about.benchmark_hash == candidate.protocol.hash:
            try:
                yield submission_entry(candidate.protocol, other)
            except (IntegrityError, UsageError):
                continue


def _constant(array: np.ndarray) -> bool:
    return bool(array.size > 1 and (array == array.flat[0]).all())


def _equal(one: Answers, other: Answers) -> bool:
    """In all that both carry: maps may lie beside the one and not beside the other."""
    shared = one.keys() & other.keys()
    return bool(shared) and all(_equal_arrays(one[name], other[name]) for name in shared)


def _equal_arrays(one: np.ndarray, other: np.ndarray) -> bool:
    """In single precision where they are real numbers, so that noise in the last digits hides nothing."""
    import numpy as np

    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return np.array_equal(one, other)
    with np.errstate(over="ignore"):
        return np.array_equal(one.astype(np.float32), other.astype(np.float32), equal_nan=True)
