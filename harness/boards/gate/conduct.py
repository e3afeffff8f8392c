"""Rules about outputs that are formally right and yet no fair contribution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.boards.entries import leaderboard_of, method_entry, submission_entry
from harness.boards.gate.candidate import Candidate
from harness.boards.members import unit_key
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.base import Answers
from harness.tracks.leaderboard import Entry, settled
from harness.tracks.summary import records

if TYPE_CHECKING:
    import numpy as np

MOST_UNITS = 0.5
"""Share of units above which outputs that equal another method's count as copied."""
RANKS_ALIKE, NEARLY_ALL = 0.999, 0.9
"""Rank correlation above which outputs are in the same order, and the share of units in which a near copy has them so."""
FEWEST_RIVALS = 3
"""Ranked rows that a board must have before being told apart from all of them means anything."""
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
    for other, theirs in candidate.answers_of_others():
        same = sum(key in theirs and _equal(outputs, theirs[key]) for key, outputs in own.items())
        if own and same > MOST_UNITS * len(own):
            yield f"its outputs are those of {other.about.name} in {same} of {len(own)} units."


def near_copy(candidate: Candidate) -> Iterator[str]:
    """The same order as another row's in nearly all units: an honest equivalent, as of two classes, or a copy in disguise.

    The harness's own methods are known to have relatives among themselves, and are not compared with one another.
    """
    about, said = candidate.about, candidate.track.said
    own = {
        unit_key(unit): {name: _order(array) for name, array in outputs.items() if said(name)}
        for unit, outputs in candidate.answers.items()
    }
    for other, theirs in candidate.answers_of_others():
        if about.method.origin == other.about.method.origin == "baseline" or not own:
            continue
        unlike, most = 0, math.floor((1 - NEARLY_ALL) * len(own))
        for key, orders in own.items():
            unlike += not _ordered_alike(orders, theirs.get(key, {}))
            if unlike > most:
                break
        else:
            before = about.submitted and other.about.submitted and about.submitted < other.about.submitted
            claim = ", and it claims to have been submitted before" if before else ""
            yield f"it orders as {other.about.name} does in {len(own) - unlike} of {len(own)} units{claim}; see why."


def label_like(candidate: Candidate) -> Iterator[str]:
    """As good as labels would be: it may be true, but somebody has to look."""
    if _reference(candidate):
        return
    for unit, measurement in candidate.measured.items():
        for record in records(measurement):
            if record.value is not None and record.value >= PERFECT.get(record.metric, math.inf) - _ROUNDING:
                yield f"{record.metric} of {unit.label} is perfect ({record.value:g}); see whether it knows labels."
    leaderboard = leaderboard_of(candidate.protocol)
    oracles = _entries(candidate, oracles_only=True) if leaderboard.shows.oracles_bound else []
    if not oracles:
        return
    own = _own_entry(candidate)
    sign = -1.0 if leaderboard.shows.lower_is_better else 1.0
    for column, cells in ((name, each.cells()) for name, each in leaderboard.compared((own, *oracles)).items()):
        for oracle in oracles:
            if own.method.name not in cells or oracle.method.name not in cells:
                continue
            mine, bound = cells[own.method.name].value, cells[oracle.method.name].value
            if sign * (mine - bound) > _ROUNDING * abs(bound):
                yield f"it is better than {oracle.method.name}, which reads labels, in {column} ({mine:g}, {bound:g})."


def far_ahead(candidate: Candidate) -> Iterator[str]:
    """First in a column, and told apart from every other or nearer to what reads labels than to the second: see why."""
    if _reference(candidate):
        return
    leaderboard, own = leaderboard_of(candidate.protocol), _own_entry(candidate)
    others = _with_ranks(_entries(candidate))
    name, sign = own.method.name, 1.0 if leaderboard.shows.lower_is_better else -1.0
    bounds = {each.method.name for each in others if each.method.oracle and leaderboard.shows.oracles_bound}
    for title, column in leaderboard.compared((own, *others)).items():
        costs = {each: sign * float(draws[0]) for each, draws in column.draws.items()}
        rivals = {each: cost for each, cost in costs.items() if each != name and each not in column.unranked}
        if name not in costs or not rivals or costs[name] >= min(rivals.values()):
            continue
        second = min(rivals, key=lambda each: rivals[each])
        bound = min((costs[each] for each in bounds if each in costs), default=-math.inf)
        if len(rivals) >= FEWEST_RIVALS and not column.tied(name):
            yield f"it is told apart from every other method in {title}, of which {second} is the next; see how it does that."
        elif costs[name] - bound < rivals[second] - costs[name]:
            yield f"it is nearer to a row that reads labels than to {second}, the next, in {title}; see how it does that."


def told_names(candidate: Candidate) -> Iterator[str]:
    """A strategy that is told which image is which may carry queries, or use the order of the data set."""
    if "names" in getattr(candidate.about.method, "needs", ()):
        yield 'it declares needs=("names",), so it is told which image of the data set is which; see where its queries come from.'


def _reference(candidate: Candidate) -> bool:
    """The harness's own bounds and sanity rows; that it is a baseline was checked against the harness."""
    method = candidate.about.method
    return method.origin == "baseline" and (method.oracle or method.reference)


def _own_entry(candidate: Candidate) -> Entry:
    exempt = len(leaderboard_of(candidate.protocol).exempt(candidate.inapplicable))
    planned = len(candidate.units) - exempt
    return method_entry(candidate.protocol, candidate.track, candidate.measured, planned, exempt)


def _entries(candidate: Candidate, oracles_only: bool = False) -> list[Entry]:
    """Other complete submissions to the same state of the benchmark."""
    found = []
    for other in candidate.others:
        if other.about.benchmark_hash != candidate.protocol.hash or (oracles_only and not other.about.method.oracle):
            continue
        with suppress(IntegrityError, UsageError):  # the gate says so where it is asked about that submission
            found.append(submission_entry(candidate.protocol, other))
    return [entry for entry in found if entry.complete]


def _with_ranks(entries: list[Entry]) -> list[Entry]:
    """Those that have ranks, everybody where nobody has one, and what reads labels."""
    names = {entry.method.name for entry in settled(entries)}
    return [replace(each, waits=False) for each in entries if each.method.oracle or each.method.name in names]


def _order(array: np.ndarray) -> np.ndarray:
    """What of an array does not change when its values are stretched: mid-ranks of real numbers, missing ones lowest,
    centred and of length 1, so that products are rank correlations; rows of integers as a set."""
    import numpy as np
    from scipy.stats import rankdata

    if array.dtype.kind != "f":
        return np.unique(array.reshape((*array.shape[:1], -1)) if array.size else array, axis=0)
    ranks = rankdata(np.nan_to_num(array.ravel(), nan=-np.inf, posinf=np.inf, neginf=-np.inf))
    ranks -= ranks.mean()
    return np.asarray(ranks / (np.linalg.norm(ranks) or 1.0))


def _ordered_alike(orders: Answers, theirs: Answers) -> bool:
    """In all that both carry."""
    import numpy as np

    shared = orders.keys() & theirs.keys()
    for name in shared:
        one, other = orders[name], _order(theirs[name])
        if one.dtype.kind == "f" and one.shape == other.shape and other.dtype.kind == "f" and one.any():
            if float(one @ other) <= RANKS_ALIKE:
                return False
        elif not np.array_equal(one, other):
            return False
    return bool(shared)


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
