"""Submissions on disk: `submissions/<benchmark>@<version>/<method>/`.

`submission.toml` says what it is, `method.py` is the source (or a file in `sources/` beside the folders, see
`boards.sources`), `run.json` the sealed run, and `outputs.npz` holds the method's answers, arrays
`<model>--<study>--<name>`; `maps.npz` those of an explainer's maps that are small enough (see `boards.maps`). Boards are
computed from these files alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.boards.disclosure import Disclosure
from harness.boards.maps import FILE as MAPS
from harness.boards.maps import LARGEST_INLINE, maps_of, read_maps, store_maps
from harness.boards.members import by_unit, member_name, unit_key
from harness.data.catalog import bundled_folder
from harness.data.toml import read_toml
from harness.execution.fence import described
from harness.execution.run_files import METHOD, SEALED
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError, first_problem
from harness.spec.result import Environment
from harness.spec.run import Unit
from harness.spec.submission import Cost, Submission
from harness.storage import IntegrityError, file_id, read_arrays, read_json, write_arrays, write_bytes, write_text
from harness.tracks.base import Answers, Track

if TYPE_CHECKING:
    import numpy as np

SUBMISSIONS = "submissions"
ABOUT, OUTPUTS, README = "submission.toml", "outputs.npz", "README.md"
SOURCES = "sources"
"""The one folder beside submissions that is none."""
LARGEST = {
    ABOUT: 20_000,
    METHOD: 200_000,
    SEALED: 4_000_000,
    OUTPUTS: 10_000_000,
    MAPS: LARGEST_INLINE,
    README: 100_000,
}
"""File of a submission -> bytes that it may have; nothing larger is opened."""
_MOST_BYTES = 1 << 30
_LARGEST_RUN = 100_000_000


@dataclass(frozen=True)
class StoredSubmission:
    """A submission and the folder it was read from."""

    about: Submission
    folder: Path

    def answers(self, units: Mapping[str, Unit]) -> dict[Unit, Answers]:
        """Stored answers of those units that the submission has. Raises IntegrityError if the file was changed."""
        stored = self.stored()
        return {unit: stored[unit_key(unit)] for unit in units.values() if unit_key(unit) in stored}

    def stored(self, max_bytes: int = _MOST_BYTES) -> dict[str, Answers]:
        """All stored answers by `unit_key`, with the maps that lie beside them.

        Raises IntegrityError if a file was changed or unpacks to more.
        """
        path, maps = self.folder / OUTPUTS, self.about.maps
        if not path.is_file() or file_id(path) != self.about.outputs.get(OUTPUTS):
            raise IntegrityError(f"{path} is not the file that {ABOUT} names")
        arrays = read_arrays(path, max_bytes=max_bytes)
        if maps is not None and maps.inline:
            arrays = {**read_maps(maps, self.folder / MAPS), **arrays}
        return dict(by_unit(arrays))

    def not_applicable(self, units: Mapping[str, Unit]) -> tuple[Unit, ...]:
        """Units that the sealed run says do not apply to the method, none without a run. Raises IntegrityError."""
        if not (self.folder / SEALED).is_file():
            return ()
        ended = {each.unit: each.status for each in RunResult.open(self.folder).document.units}
        return tuple(unit for key, unit in units.items() if ended.get(key) == "not-applicable")

    def remark(self) -> str:
        """What its run records of a weak fence around the method; empty for a run from before there was a record."""
        try:
            stored = read_json(self.folder / SEALED, max_bytes=_LARGEST_RUN)
            environment = Environment.model_validate(stored["environment"])
        except (OSError, IntegrityError, ValidationError, KeyError, TypeError):
            return ""
        return fence_remark(environment)


def fence_remark(environment: Environment) -> str:
    """What a run records of a weak fence around the method; empty where there is nothing to say."""
    unfenced = ["without a fence around the method"] if environment.fence == described("none") else []
    opened = f"with further files open to the method: {len(environment.readable)}, see its run.json"
    return "; ".join((*unfenced, *([opened] if environment.readable else [])))


def submissions_folder(benchmark: str) -> Path:
    """Where the submissions to a benchmark (`id@version`) lie."""
    return bundled_folder(SUBMISSIONS) / benchmark


def submission_folders(benchmark: Path) -> list[Path]:
    """The folders of submissions in one `submissions/<benchmark>@<version>`, by name."""
    return sorted(path for path in benchmark.glob("*") if path.is_dir() and path.name != SOURCES)


def read_submissions(benchmark: str) -> tuple[list[StoredSubmission], dict[str, str]]:
    """All readable submissions to a benchmark by name, and why others cannot be read."""
    readable, unreadable = [], {}
    for folder in submission_folders(submissions_folder(benchmark)):
        if not (folder / ABOUT).is_file():
            continue
        try:
            readable.append(read_submission(folder))
        except (UsageError, IntegrityError) as error:
            unreadable[folder.name] = str(error)
    return readable, unreadable


def read_submission(folder: Path) -> StoredSubmission:
    """One submission. Raises UsageError or IntegrityError that says what is wrong with it."""
    about = read_about(folder)
    if about.name != folder.name:
        raise IntegrityError(f"{ABOUT} is about {about.name}, but the folder is called {folder.name}")
    return StoredSubmission(about, folder)


def read_about(folder: Path) -> Submission:
    """What a folder's `submission.toml` says, wherever the folder lies. Raises as `read_submission`."""
    try:
        return Submission.model_validate(read_toml(folder / ABOUT, max_bytes=LARGEST[ABOUT]))
    except ValidationError as error:
        raise IntegrityError(f"{ABOUT}: {first_problem(error)}") from error


def write_submission(
    run: RunResult, track: Track, units: Mapping[str, Unit], folder: Path, disclosure: Disclosure, submitted: date
) -> Submission:
    """Store a sealed, complete run as a submission, with its maps where they are small enough to lie beside it.

    Raises UsageError for a run that no board can take.
    """
    require_ranked(run)
    document = run.document
    folder.mkdir(parents=True, exist_ok=True)
    maps = store_maps(maps_of(run, track, units), folder)
    arrays: dict[str, np.ndarray] = {
        member_name(units[key], name): array
        for key, outputs in run.outputs().items()
        for name, array in track.submitted(outputs).items()
    }
    write_arrays(folder / OUTPUTS, arrays)
    for name in (METHOD, SEALED):
        write_bytes(folder / name, (run.folder / name).read_bytes())
    about = Submission(
        benchmark=document.spec.benchmark,
        benchmark_hash=document.spec.benchmark_hash,
        method=document.spec.method,
        run=document.id,
        outputs={OUTPUTS: file_id(folder / OUTPUTS)},
        maps=maps,
        authors=disclosure.authors,
        licence=disclosure.licence,
        citation=disclosure.citation,
        training_data=disclosure.training_data,
        hardware=disclosure.hardware,
        cost=cost_of(run, track, units),
        submitted=submitted,
    )
    write_about(folder, about)
    return about


def cost_of(run: RunResult, track: Track, units: Mapping[str, Unit]) -> Cost:
    """What a sealed run took: seconds of its units, trainings, and the passes that were counted."""
    scored = [units[each.unit] for each in run.document.units if each.status == "ok"]
    timing = run.document.timing
    return Cost(
        seconds=round(timing.seconds, 1),
        trainings=track.workload(scored).trainings or None,
        forwards=None if timing.passes is None else timing.passes.forward,
        backwards=None if timing.passes is None else timing.passes.backward,
    )


def write_about(folder: Path, about: Submission) -> None:
    """Write `submission.toml`."""
    import tomli_w

    write_text(folder / ABOUT, tomli_w.dumps(about.model_dump(mode="json", exclude_none=True)))


def require_ranked(run: RunResult) -> None:
    """Raises UsageError for a run that no board can rank."""
    spec = run.document.spec
    if spec.limit is not None:
        raise UsageError(f"{run.folder} is a rehearsal (made with --limit); run it again without a limit.")
    if not spec.submittable:
        raise UsageError(
            f"{spec.benchmark} does not pin its files by sha256, so its runs cannot be compared on a board."
        )
    if not run.complete:
        why = f"has {len(run.failed)} failed units" if run.failed else "has no unit with scores"
        raise UsageError(f"{run.folder} {why}; a board takes complete runs only.")
