"""A folder that wants to be a submission, read piece by piece as the rules get to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from harness.boards.gate.revision import FileChange
from harness.boards.maps import Fetch, read_maps
from harness.boards.members import by_unit, unit_key
from harness.boards.submissions import (
    StoredSubmission,
    read_about,
    read_submission,
    submission_folders,
    submissions_folder,
)
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.result import RunDocument, UnitResult
from harness.spec.run import Unit
from harness.spec.submission import Submission
from harness.storage import IntegrityError
from harness.tracks.base import Answers, Measurement, Track

LARGEST_UNPACKED = 200_000_000
"""Bytes of all arrays of a submission in memory."""


class Candidate:
    """Nothing is read before it is asked for, and then once.

    What cannot be read raises UsageError or IntegrityError with one sentence; rules that need it come after the one
    that reports this. The method's code is never run.
    """

    def __init__(self, folder: Path, changes: Sequence[FileChange] = (), fetch: Fetch | None = None) -> None:
        self.folder = folder
        self.changes = tuple(changes)
        """All that the checkout changed, where this is asked."""
        self._fetch = fetch

    @cached_property
    def about(self) -> Submission:
        return read_about(self.folder)

    @cached_property
    def protocol(self) -> LoadedBenchmark:
        return find_protocol(self.about.benchmark)

    @cached_property
    def run(self) -> RunDocument:
        return RunResult.open(self.folder).document

    @cached_property
    def track(self) -> Track:
        return open_track(self.protocol, self.about.method, "cpu")

    @property
    def request(self) -> PlanRequest:
        """What a complete run like this one asks for: its seed and device are the submitter's choice."""
        return PlanRequest(self.folder, self.run.spec.seed, self.run.spec.device)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The units that the benchmark plans for the method, by id."""
        return plan_units(self.protocol, self.track, self.about.method, self.request)

    @cached_property
    def stored(self) -> dict[str, Answers]:
        """Stored answers by `unit_key`: with maps, where these lie beside them or may be fetched from the Hub."""
        found = StoredSubmission(self.about, self.folder).stored(LARGEST_UNPACKED)
        maps = self.about.maps
        if maps is not None and maps.repo is not None and self._fetch is not None:
            for key, arrays in by_unit(read_maps(maps, self._fetch(maps))).items():
                found[key] = {**arrays, **found.get(key, {})}
        return found

    @cached_property
    def answers(self) -> dict[Unit, Answers]:
        """Stored answers of the units that are scored."""
        return {unit: self.stored[unit_key(unit)] for unit, result in self.results() if result.status == "ok"}

    @cached_property
    def inapplicable(self) -> tuple[Unit, ...]:
        return tuple(unit for unit, result in self.results() if result.status == "not-applicable")

    @cached_property
    def measured(self) -> dict[Unit, Measurement]:
        """What the answers are worth."""
        return {unit: self.track.measure(unit, outputs) for unit, outputs in self.answers.items()}

    @cached_property
    def problems(self) -> dict[Unit, tuple[str, ...]]:
        """What no honest run answers, in sentences; of answers that can be measured."""
        return {unit: tuple(self.track.problems(unit, self.answers[unit])) for unit in self.measured}

    @cached_property
    def others(self) -> tuple[StoredSubmission, ...]:
        """Other methods' submissions to the benchmark: beside this one, and in the checkout of the harness."""
        found: dict[str, StoredSubmission] = {}
        for place in dict.fromkeys((self.folder.resolve().parent, submissions_folder(self.about.benchmark))):
            for folder in submission_folders(place):
                try:
                    found.setdefault(folder.name, read_submission(folder))
                except (UsageError, IntegrityError):  # the gate says so where it is asked about that folder
                    continue
        return tuple(each for name, each in sorted(found.items()) if name != self.about.name)

    def answers_of_others(self) -> Iterator[tuple[StoredSubmission, dict[str, Answers]]]:
        """Other methods' submissions with their stored answers by `unit_key`, one at a time: together they are large."""
        for other in self.others:
            try:
                yield other, other.stored(LARGEST_UNPACKED)
            except IntegrityError:  # the gate says so where it is asked about that submission
                continue

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        """How each planned unit ended, as the run claims."""
        ended = {result.unit: result for result in self.run.units}
        yield from ((unit, ended[key]) for key, unit in self.units.items())
