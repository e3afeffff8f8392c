"""What a contest needs of each submission, kept in a cache that its content addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from harness.boards.submissions import StoredSubmission
from harness.data.catalog import Protocol, cache_folder
from harness.execution.environment import harness_source_hash
from harness.execution.plan import PlanRequest, plan_units
from harness.spec.run import Unit
from harness.storage import IntegrityError, content_id, read_arrays, write_arrays
from harness.tracks.base import Contest, Entry, Outputs, Track
from harness.tracks.registry import KINDS


def contest_of(protocol: Protocol) -> Contest:
    """How methods compare under a protocol."""
    return KINDS[protocol.benchmark.task].contest(protocol)


def submission_entry(protocol: Protocol, submission: StoredSubmission) -> Entry:
    """A stored submission. Raises IntegrityError or UsageError for one that cannot be scored."""
    method = submission.about.method
    track = KINDS[protocol.benchmark.task].track(protocol, method, "cpu")
    units = plan_units(protocol, track, method, PlanRequest(Path()))
    key = content_id([protocol.hash, submission.about.canonical(), harness_source_hash()])
    path = cache_folder() / "entries" / f"{key}.npz"
    answered = submission.answers(units)
    exempt = len(contest_of(protocol).exempt(submission.not_applicable(units)))
    with contextlib.suppress(IntegrityError):
        if path.is_file():
            return Entry(method, read_arrays(path), len(answered), len(units) - exempt, exempt)
    entry = method_entry(protocol, track, answered, len(units) - exempt, exempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, entry.arrays, compressed=False)
    return entry


def method_entry(
    protocol: Protocol, track: Track, answered: Mapping[Unit, Outputs], planned: int, exempt: int = 0
) -> Entry:
    """A method from what its submission carries, or would carry; counts of units as in `Entry`."""
    return Entry(track.method, contest_of(protocol).entry(track, answered), len(answered), planned, exempt)
