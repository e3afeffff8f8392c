"""What a board knows of one method: its score in each column, and the bootstrap replicates behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.submissions import StoredSubmission
from harness.data.catalog import Protocol, cache_folder
from harness.execution.environment import harness_source_hash
from harness.execution.plan import PlanRequest, plan_units
from harness.metrics.registry import METRICS
from harness.spec.method import MethodSpec
from harness.spec.run import Unit
from harness.storage import IntegrityError, content_id, read_arrays, write_arrays
from harness.tracks.base import Outputs
from harness.tracks.confidence.scoring import group_scores, study_scores
from harness.tracks.confidence.track import ConfidenceTrack

if TYPE_CHECKING:
    import numpy as np

MEAN = "mean"
_DIGITS = 12
"""Replicates are rounded, so that equal orders tie on every processor however its sums are rounded."""


@dataclass(frozen=True)
class Scores:
    """A method's primary metric: values by column, replicates (b,) by column, and how many units it has."""

    method: MethodSpec
    values: dict[str, float]
    replicates: dict[str, np.ndarray]
    scored: int
    planned: int

    @property
    def complete(self) -> bool:
        return self.scored == self.planned


def columns_of(protocol: Protocol) -> tuple[str, ...]:
    """Groups of studies in the benchmark's order, then their mean."""
    return (*dict.fromkeys(study.group for study in protocol.benchmark.studies), MEAN)


def submission_scores(protocol: Protocol, submission: StoredSubmission) -> Scores:
    """Scores of a stored submission, from a cache that its content addresses, or computed."""
    method = submission.about.method
    track = ConfidenceTrack(protocol, method)
    units = plan_units(protocol, track, method, PlanRequest(Path()))
    answered = submission.answers(units)
    key = content_id([protocol.hash, submission.about.canonical(), harness_source_hash()])
    path = cache_folder() / "scores" / f"{key}.npz"
    with contextlib.suppress(IntegrityError):
        if path.is_file():
            return _unpacked(method, read_arrays(path), len(answered), len(units))
    scores = score_method(protocol, track, answered, len(units))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, _packed(scores))
    return scores


def score_method(protocol: Protocol, track: ConfidenceTrack, answered: Mapping[Unit, Outputs], planned: int) -> Scores:
    """Primary metric of every column for which all units are there."""
    import numpy as np

    metric = METRICS[protocol.benchmark.primary]
    judged = {unit: track.judge(unit, outputs) for unit, outputs in answered.items()}
    grouped = group_scores(protocol.benchmark, study_scores(protocol.benchmark, [metric], judged)[metric.id])
    values, replicates = dict(grouped.values), dict(grouped.replicates)
    if len(values) == len(columns_of(protocol)) - 1:
        values[MEAN] = float(np.mean(list(values.values())))
        replicates[MEAN] = np.mean(list(replicates.values()), axis=0)
    rounded = {name: np.round(array, _DIGITS) for name, array in replicates.items()}
    return Scores(
        track.method, {name: round(value, _DIGITS) for name, value in values.items()}, rounded, len(answered), planned
    )


def _packed(scores: Scores) -> dict[str, np.ndarray]:
    import numpy as np

    return {name: np.concatenate([[scores.values[name]], scores.replicates[name]]) for name in scores.values}


def _unpacked(method: MethodSpec, arrays: Mapping[str, np.ndarray], scored: int, planned: int) -> Scores:
    return Scores(
        method,
        {name: float(array[0]) for name, array in arrays.items()},
        {name: array[1:] for name, array in arrays.items()},
        scored,
        planned,
    )
