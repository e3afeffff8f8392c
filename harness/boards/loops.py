"""Queries of a run or submission as loop files, for people and for other tools: arrays stay what scores come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.boards.members import unit_key
from harness.boards.submissions import ABOUT, read_submission
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError
from harness.tracks.base import Answers, Track


def write_loops(source: Path, out: Path, own: Path | None = None) -> tuple[Path, ...]:
    """Write the campaigns of a query strategy to `out`, one folder each (`<training>-<seed>--<study>`); see
    `harness.tracks.query.export.write_campaign`. Returns the folders.

    `source` is the folder of a run or a submission, `own` the file of its benchmark as in `RunResult.protocol`. Queries that no honest run has are not written. Raises UsageError
    for other kinds of methods, data that is not here, and a folder `out` that is not empty; IntegrityError for damage.
    """
    from harness.tracks.query.export import write_campaign
    from harness.tracks.query.track import QueryTrack

    run = RunResult.open(source)
    spec = run.document.spec
    if spec.task != "query":
        raise UsageError(f"{source} is about a {spec.task} method; only query strategies have loops.")
    protocol = run.protocol(own)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; name another for the loop files.")
    track, answers = _answers(run, protocol)
    assert isinstance(track, QueryTrack)
    for unit, outputs in answers.items():
        for problem in track.problems(unit, outputs):
            raise IntegrityError(f"{unit.label} of {source} cannot be written as loop files: {problem}.")
    folders = []
    for unit, outputs in answers.items():
        folder = out / unit_key(unit)
        try:
            write_campaign(track.settings[unit.study], unit.model_seed, spec.method.name, outputs, folder)
        except OSError as error:
            raise StorageError(f"Could not write {folder}: {error.strerror or error}.") from error
        folders.append(folder)
    return tuple(folders)


def _answers(run: RunResult, protocol: LoadedBenchmark) -> tuple[Track, Mapping[Unit, Answers]]:
    """Stored answers, where a run or where a submission keeps them."""
    if (run.folder / ABOUT).is_file():
        units, track = run.units(protocol)
        return track, read_submission(run.folder).answers(units)
    return run.scored(protocol).track, run.answers_by_unit(protocol)
