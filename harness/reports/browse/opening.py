"""What can be browsed: a run of a confidence score, a result folder of FD-Shifts, a table of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.boards.submissions import ABOUT, submissions_folder
from harness.data.catalog import LoadedBenchmark, benchmark_files, load_protocol
from harness.execution.job import planned_units
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_files import JOURNAL, SEALED
from harness.execution.run_result import RunResult
from harness.methods.client import MethodError
from harness.methods.discovery import baseline_names, find_method, load_baseline
from harness.reports.browse.of_files import protocol_of
from harness.reports.browse.samples import ScoreAnswers, TableNames
from harness.reports.rivals import board_rows, open_row
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError, unknown
from harness.spec.method import MethodSpec
from harness.spec.result import Passes
from harness.spec.run import Unit
from harness.spec.sources import TableModel
from harness.storage import IntegrityError
from harness.tracks.base import Answers
from harness.tracks.confidence.host import ConfidenceHost
from harness.tracks.confidence.track import ConfidenceTrack

_BY_DEFAULT = ("msr", "mls", "pe", "margin", "head-confidence")
"""Baselines that need no training set, asked where there is no run: those that the outputs allow are shown."""


@dataclass(frozen=True)
class Opened:
    """protocol: the benchmark, which a folder or a table gets one made for. scores: the first is the page's own. missing:
    sentences on what is not here. naming: what a table calls its sets and samples."""

    title: str
    protocol: LoadedBenchmark
    scores: tuple[ScoreAnswers, ...]
    missing: tuple[str, ...]
    document: Any = None
    naming: TableNames = field(default_factory=TableNames)


def open_browsed(target: Path, scores: Sequence[str] = (), own: Path | None = None) -> Opened:
    """scores: names of rows of the board or of baselines, beside the run's own; "all": every row whose submission is here;
    none: the board's best, median and simplest row, or for files the baselines that their outputs allow. own: the
    benchmark's file, where it was moved, or which says what a table holds.

    Raises UsageError for what cannot be browsed, IntegrityError for damaged files.
    """
    run = run_of(target)
    if run is not None:
        return _run(run, scores, own)
    named, models = _benchmark_of(target, own)
    protocol, naming = (named, TableNames()) if named else protocol_of(target)
    found, refused = list[ScoreAnswers](), dict[str, MethodError | UsageError]()
    for name in scores or _BY_DEFAULT:
        try:
            found.append(_asked(protocol, name, models))
        except (MethodError, UsageError) as error:
            if scores:
                raise UsageError(f"{target}: {name} cannot be computed: {str(error).rstrip('.')}.") from error
            refused[name] = error
    if not found:
        why = _why(refused)
        raise UsageError(f"{why}." if target.name in why else f"{target} cannot be browsed: {why}.")
    return Opened(target.resolve().name, protocol, tuple(found), (), naming=naming)


def _benchmark_of(target: Path, own: Path | None) -> tuple[LoadedBenchmark | None, frozenset[str]]:
    """The file of a benchmark that was named, and names of the models whose table the target is; none for all."""
    path = own or target
    if path.suffix.lower() != ".toml" or (own is None and not path.exists()):
        return None, frozenset()
    protocol = load_protocol(path)
    benchmark = protocol.benchmark
    if not isinstance(benchmark, ConfidenceBenchmark):
        raise UsageError(
            f"{path} is a benchmark for {benchmark.task}, of which runs are browsed: harness evaluate METHOD --benchmark "
            f"{path}, then harness browse RUN."
        )
    if target.resolve() == path.resolve():
        return protocol, frozenset()
    models = getattr(benchmark.source, "models", ())
    tables = {each.id: each.table.path for each in models if isinstance(each, TableModel)}
    mine = frozenset(name for name, table in tables.items() if (path.parent / table).resolve() == target.resolve())
    if not mine:
        raise UsageError(f"{target} is no table of {path}, which has {', '.join(tables.values()) or 'none'}.")
    return protocol, mine


def _why(refused: Mapping[str, MethodError | UsageError]) -> str:
    """What is wrong with the data, which every score that reads them says; else what each score lacks."""
    for error in refused.values():
        if isinstance(error, UsageError):
            return str(error).rstrip(".")
    return "; ".join(f"{name}: {str(error).rstrip('.')}" for name, error in refused.items())


def run_of(target: Path) -> RunResult | None:
    """The run in this folder; None where there is something else. Raises UsageError for a submission, and for a run that
    is not finished."""
    begun = (target / JOURNAL).is_file() or planned_units(target) is not None
    if target.name != SEALED and not (target / SEALED).is_file() and not begun:
        return None
    if (target / ABOUT).is_file():
        raise UsageError(f"{target} is a submission; name a run, and its rows with --scores {target.name}.")
    return RunResult.open(target)


def _run(run: RunResult, scores: Sequence[str], own: Path | None) -> Opened:
    spec = run.document.spec
    protocol = run.protocol(own)
    units, track = run.units(protocol)
    assert isinstance(track, ConfidenceTrack)
    answers = {units[key]: outputs for key, outputs in run.outputs().items() if key in units}
    found, missing = [ScoreAnswers(spec.method.name, track, answers)], list[str]()
    if scores:
        scores = all_rows(protocol) if "all" in scores else scores
        found += [_named(protocol, name) for name in dict.fromkeys(scores) if name != spec.method.name]
    else:
        board = board_rows(protocol, spec.method)
        missing += [board.missing] if board.missing else []
        for rival in board.rivals:
            theirs, said = rival.open()
            assert isinstance(theirs, ConfidenceTrack)
            found.append(ScoreAnswers(rival.name, theirs, said))
    return Opened(f"{spec.method.name} {spec.method.version}", protocol, tuple(found), tuple(missing), run.document)


def all_rows(protocol: LoadedBenchmark) -> tuple[str, ...]:
    """Names of all submissions to the benchmark that are here. Raises UsageError where there are none."""
    name = protocol.benchmark.name
    found = sorted(path.parent.name for path in submissions_folder(name).glob(f"*/{ABOUT}"))
    if name not in benchmark_files() or not found:
        raise UsageError(f"{name} has no rows here; name baselines, such as --scores msr,pe.")
    return tuple(found)


def _named(protocol: LoadedBenchmark, name: str) -> ScoreAnswers:
    """A row of the board whose submission is here, else a baseline, which is computed now."""
    bundled = protocol.benchmark.name in benchmark_files()
    if bundled and (submissions_folder(protocol.benchmark.name) / name / ABOUT).is_file():
        track, answers = open_row(protocol, name)
        assert isinstance(track, ConfidenceTrack)
        if not answers:
            raise IntegrityError(
                f"the submission of {name} holds no answers that can be read; harness validate says why."
            )
        return ScoreAnswers(name, track, answers)
    try:
        return _asked(protocol, name)
    except MethodError as error:
        raise UsageError(f"{name} cannot be computed on {protocol.benchmark.name}: {error.reason}.") from error


def _asked(protocol: LoadedBenchmark, name: str, models: frozenset[str] = frozenset()) -> ScoreAnswers:
    """A baseline's answers on these models, or all, from this process: it is the harness's own code. Raises MethodError where it does not fit."""
    if name not in baseline_names("confidence"):
        raise unknown("score", name, baseline_names("confidence"), "A score of one's own is shown from its run.")
    spec = find_method(name, "confidence").spec
    track = open_track(protocol, spec, "cpu")
    assert isinstance(track, ConfidenceTrack)
    planned = plan_units(protocol, track, spec, PlanRequest(Path())).values()
    units = [unit for unit in planned if not models or unit.model in models]
    client = _Here(spec)
    return ScoreAnswers(name, track, dict(_answers(track, units, client)))


def _answers(track: ConfidenceTrack, units: Any, client: _Here) -> Iterator[tuple[Unit, Answers]]:
    for unit in units:
        yield unit, track.ask(unit, client)


class _Here:
    """A baseline as `MethodClient`, in this process."""

    def __init__(self, spec: MethodSpec) -> None:
        self.state: str | None = None
        self.passes: Passes | None = None
        self.spec = spec
        self._host = ConfidenceHost(load_baseline(spec), "cpu")

    def begin_anew(self) -> None:
        """The harness's own methods keep nothing."""
        self.state = None

    def call(self, what: str, arrays: Mapping[str, Any], *, seed: int, meta: Mapping[str, Any] | None = None) -> Any:
        import torch

        from harness.methods.outputs import NotOfferedError

        torch.manual_seed(seed)
        try:
            return self._host.verbs[what](dict(meta or {}), dict(arrays))
        except NotOfferedError as error:
            raise MethodError("not-applicable", str(error)) from error
