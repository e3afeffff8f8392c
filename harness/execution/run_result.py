"""A run as users hold it: the sealed document, its folder, and a long table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark, benchmark_files, load_protocol
from harness.execution.answers import ByUnit, StoredAnswers, measured
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_files import PROTOCOL, SEALED
from harness.execution.status import run_status
from harness.spec.errors import UsageError, first_problem
from harness.spec.result import RunDocument, UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, content_id, read_json
from harness.tracks.base import Answers, Measurement, Track
from harness.tracks.summary import unit_intervals

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "benchmark",
    "version",
    "task",
    "study",
    "model",
    "seed",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "status",
)
OVER_SEEDS = "all"


@dataclass(frozen=True)
class ScoredRun:
    """A run's units by id beside what they are worth, and the track that says so."""

    track: Track
    units: Mapping[str, Unit]
    measured: Mapping[Unit, Measurement]
    inapplicable: tuple[Unit, ...]


@dataclass(frozen=True)
class RunResult:
    """A sealed run. `document` is what stands in `run.json`; the rest is kept so that nothing is read or measured twice."""

    document: RunDocument
    folder: Path
    _answers: StoredAnswers | None = field(default=None, repr=False, compare=False)
    _scored: ScoredRun | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str | Path) -> RunResult:
        """Read a sealed run. Raises UsageError if there is none, IntegrityError if it is damaged."""
        path = Path(folder)
        path = path.parent if path.name == SEALED else path
        if not (path / SEALED).is_file():
            raise _not_sealed(path)
        again = "the command that made the run seals it anew"
        try:
            document = RunDocument.model_validate(read_json(path / SEALED))
        except ValidationError as error:
            raise IntegrityError(
                f"{path / SEALED} is not a sealed run: {first_problem(error)[:-1]}; {again}."
            ) from error
        except IntegrityError as error:
            raise IntegrityError(f"{str(error).rstrip('.')}; {again}.") from error
        if document.seal != content_id(document.sealed_content):
            raise IntegrityError(f"{path / SEALED} was changed after it was sealed; run the evaluation again.")
        return cls(document, path)

    @property
    def complete(self) -> bool:
        """Every unit that applies to the method is scored, and there is one."""
        return self.document.complete and any(unit.status == "ok" for unit in self.document.units)

    @property
    def failed(self) -> tuple[UnitResult, ...]:
        """Units that ended badly, each with its `status` and `reason`."""
        return tuple(unit for unit in self.document.units if unit.status not in ("ok", "not-applicable"))

    @property
    def not_applicable(self) -> tuple[UnitResult, ...]:
        """Units whose model lacks what the method needs, each with its `reason`. They are no failure, and have no scores."""
        return tuple(unit for unit in self.document.units if unit.status == "not-applicable")

    def outputs(self) -> StoredAnswers:
        """The method's stored answers by unit id, read and checked when they are asked for."""
        if self._answers is None:
            object.__setattr__(self, "_answers", StoredAnswers(self.folder, self.document.units))
        assert self._answers is not None
        return self._answers

    def protocol(self, own: Path | None = None) -> LoadedBenchmark:
        """The benchmark that the run was made under; `own`: its file, where it is not bundled and was moved.

        Raises UsageError for one that is not found, and for a file that cannot be read.
        """
        spec, bundled, noted = self.document.spec, benchmark_files(), self.folder / PROTOCOL
        if own is not None:
            return load_protocol(own)
        if spec.benchmark in bundled:
            found = load_protocol(bundled[spec.benchmark])
            if found.hash == spec.benchmark_hash or not noted.is_file():
                return found
        note = read_json(noted) if noted.is_file() else None
        path = Path(str(note["path"])) if isinstance(note, dict) and "path" in note else None
        if path is not None and path.is_file():
            return load_protocol(path)
        lost = f"whose file is not {path} any more" if path else "and does not say where its file is"
        raise UsageError(
            f"{self.folder} was made on the benchmark {spec.benchmark}, which is not bundled, {lost}; "
            "name the file with --benchmark."
        )

    def units(self, protocol: LoadedBenchmark) -> tuple[dict[str, Unit], Track]:
        """The units that such a run has, by id, and the track that measures them. Raises UsageError for a run of another
        state of the benchmark."""
        spec = self.document.spec
        if spec.benchmark_hash != protocol.hash:
            raise UsageError(f"{self.folder} was made for another state of {protocol.benchmark.name}; evaluate again.")
        track = open_track(protocol, spec.method, spec.device)
        request = PlanRequest(self.folder, spec.seed, spec.device, spec.limit)
        return plan_units(protocol, track, spec.method, request), track

    def scored(self, protocol: LoadedBenchmark) -> ScoredRun:
        """What the answers are worth today. Raises UsageError for a run of another state of the benchmark, IntegrityError
        for answers that were changed."""
        if self._scored is not None and self._scored.track.protocol.hash == protocol.hash:
            return self._scored
        units, track = self.units(protocol)
        if unknown := [each for each in self.document.units if each.unit not in units]:
            raise UsageError(
                f"{self.folder} was made with other files or other versions of the metrics ({unknown[0].study} is no "
                "unit any more); evaluate again."
            )
        results = {each.unit: each for each in self.document.units}
        found = {
            units[key]: measured(track, units[key], outputs, results[key].outputs)
            for key, outputs in self.outputs().items()
        }
        inapplicable = tuple(units[each.unit] for each in self.document.units if each.status == "not-applicable")
        object.__setattr__(self, "_scored", ScoredRun(track, units, found, inapplicable))
        return self.scored(protocol)

    def answers_by_unit(self, protocol: LoadedBenchmark) -> Mapping[Unit, Answers]:
        """The same answers by unit."""
        return ByUnit(self.outputs(), self.scored(protocol).units)

    def notes(self) -> tuple[str, ...]:
        """What to know of the answers beside their scores; nothing where the benchmark is not at hand any more. Raises
        IntegrityError for answers that were changed."""
        try:
            scored = self._scored  # whose track knows already what it would else read again
            units, track = (scored.units, scored.track) if scored else self.units(self.protocol())
            return tuple(track.notes(ByUnit(self.outputs(), units)))
        except UsageError:
            return ()

    def to_frame(self, *, summary: bool = False, intervals: bool = True) -> pd.DataFrame:
        """One row per study, model, seed and metric; with `summary` instead one per study and metric over all models and
        seeds, as the command line prints them.

        Columns: benchmark, version, task, study, model, seed, metric, value, low, high, n, status. Rows of the summary
        have model "all" and no seed, and beside single studies those of groups of them. A unit that has no scores is one
        row without a metric, whose status says how it ended. Values are missing where status is not "ok".

        low and high are the ends of the 95 % interval by the bootstrap over samples. They are missing where the value is,
        and where it has no replicates: for what was counted rather than estimated (such as annotation effort), and where
        no resample gives a value. Those of single units are not stored but computed from the stored answers, which takes
        as long as scoring them did in a run that was opened; they are missing where the benchmark or the answers are not
        at hand, and without `intervals`. Rows of the summary always have them.
        """
        import pandas as pd

        spec = self.document.spec
        identifier, _, version = spec.benchmark.partition("@")
        head = {"benchmark": identifier, "version": int(version), "task": spec.task}
        rows = self._summary_rows() if summary else self._unit_rows(self._unit_intervals() if intervals else {})
        frame = pd.DataFrame([{**head, **row} for row in rows], columns=list(COLUMNS))
        return frame.astype({"seed": "Int64", "value": "float64", "low": "float64", "high": "float64", "n": "int64"})

    def _summary_rows(self) -> Iterator[dict[str, object]]:
        for row in self.document.summary:
            yield {"model": OVER_SEEDS, "seed": None, **row.model_dump(exclude={"seeds", "part_of"})}

    def _unit_rows(self, ends: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[dict[str, object]]:
        for unit in self.document.units:
            where = {"study": unit.study, "model": unit.model, "seed": unit.seed}
            own = ends.get(unit.unit, {})
            for record in unit.records:
                yield {**where, **record.model_dump(), **own.get(record.metric, {})}
            if not unit.records:
                yield {**where, "metric": None, "n": 0, "status": unit.status}

    def _unit_intervals(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """By unit's id and metric."""
        try:
            scored = self.scored(self.protocol())
        except (UsageError, IntegrityError):
            return {}
        found = {key: scored.measured.get(unit) for key, unit in scored.units.items()}
        return {key: unit_intervals(each) for key, each in found.items() if each is not None}

    def save(self, path: str | Path) -> Path:
        """Copy the run's folder to `path`, which must not exist yet."""
        target = Path(path)
        if target.exists():
            raise UsageError(f"{target} exists; choose a path that does not.")
        shutil.copytree(self.folder, target)
        return target


def _not_sealed(path: Path) -> UsageError:
    """The error for a folder without a sealed run: one that is not finished says how far it is."""
    try:
        found = run_status(path)
    except (UsageError, IntegrityError):
        return UsageError(f"{path} holds no sealed run ({SEALED} is missing); name the folder that evaluate printed.")
    ended = found.done + found.failed
    of = f" of {found.units}" if found.units is not None else ""
    return UsageError(
        f"the run in {path} is not finished yet, {ended}{of} units have ended; `harness status {path}` shows how it gets "
        "on, and the command that made the run goes on with it."
    )
