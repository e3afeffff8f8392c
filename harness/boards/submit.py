"""From a run to a submission in a checkout: refused with the reason, or through the gate and into its place at once."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.disclosure import Disclosure
from harness.boards.place import units_of
from harness.boards.submissions import read_about, require_ranked, write_submission
from harness.data.catalog import Protocol, bundled_folder, load_protocol
from harness.execution.folders import HeldFolder
from harness.execution.run_result import RunResult
from harness.methods.discovery import baseline_names
from harness.spec.errors import UsageError
from harness.spec.submission import Submission
from harness.storage import IntegrityError, StorageError, write_bytes

if TYPE_CHECKING:
    from harness.boards.gate import Report

SUBMISSIONS, LEADERBOARDS = "submissions", "leaderboards"


@dataclass(frozen=True)
class Submitted:
    """What came of it: where the submission lies, unless the gate's report refuses it; which version it replaced."""

    about: Submission
    folder: Path
    report: Report
    replaced: str | None


def checkout_of(folder: Path | None) -> Path:
    """The checkout to submit into: the folder, else the one that the harness runs from. Raises UsageError."""
    checkout = folder if folder is not None else bundled_folder(SUBMISSIONS).parent
    if (checkout / SUBMISSIONS).is_dir() and (checkout / LEADERBOARDS).is_dir() and checkout.name != "_bundled":
        return checkout.resolve()
    where = f"{checkout} is no checkout of the harness" if folder else "the harness does not run from a checkout"
    raise UsageError(f"{where}; clone its repository and name the folder with --into.")


def require_submittable(run: RunResult, checkout: Path) -> Protocol:
    """The run's benchmark as the checkout has it. Raises UsageError for a run that cannot be submitted there."""
    require_ranked(run)
    spec, method = run.document.spec, run.document.spec.method
    if run.document.environment.git_dirty:
        raise UsageError(
            f"{run.folder} was made by a harness with changes that are not committed; commit or undo them and evaluate again."
        )
    identifier, _, version = spec.benchmark.partition("@")
    path = checkout / LEADERBOARDS / identifier / version / "benchmark.toml"
    if not path.is_file():
        raise UsageError(
            f"{checkout} has no benchmark {spec.benchmark}; update it, or submit into another with --into."
        )
    protocol = load_protocol(path)
    if protocol.hash != spec.benchmark_hash:
        raise UsageError(
            f"{run.folder} was made for a state of {spec.benchmark} that {checkout} does not know (its hash differs); evaluate again."
        )
    if method.origin == "baseline":
        raise UsageError(f"{method.name} is one of the harness's own methods, which are on the board already.")
    if method.name in baseline_names():
        raise UsageError(
            f"{method.name} is the name of one of the harness's own methods; choose another and evaluate again."
        )
    return protocol


def submit(run: RunResult, protocol: Protocol, disclosure: Disclosure, checkout: Path, today: date) -> Submitted:
    """Store a run in the checkout, if the gate lets it pass; nothing is left in it otherwise, whatever happens.

    `protocol` as `require_submittable` gives it. Raises UsageError where the name is taken: only its authors may
    replace a method, by a higher version of it or by the same run with other facts.
    """
    from harness.boards.gate import validate

    method = run.document.spec.method
    folder = checkout / SUBMISSIONS / protocol.benchmark.name / method.name
    aside = checkout / SUBMISSIONS / f".earlier-{protocol.benchmark.name}-{method.name}"
    if aside.exists() and not folder.exists():  # a process was killed between the two renames of `_place`
        aside.rename(folder)
    replaced = _replaceable(folder, run, disclosure)
    units, track = units_of(run, protocol)
    if not {each.unit for each in run.document.units} <= set(units):
        raise UsageError(f"{run.folder} was made with other files or other versions of the metrics; evaluate again.")
    staging = HeldFolder()  # outside of the checkout, and found again by later runs where this process is killed
    try:
        staged = staging.path / protocol.benchmark.name / method.name
        about = write_submission(run, track, units, staged, disclosure, today)
        report = validate(staged)
        if report.accepted:
            _place(staged, folder, aside)
    finally:
        staging.remove()
    return Submitted(about, folder, report, replaced)


def _replaceable(folder: Path, run: RunResult, disclosure: Disclosure) -> str | None:
    """The version that a new submission takes the place of, None where there is none. Raises UsageError."""
    if not folder.exists():
        return None
    method = run.document.spec.method
    try:
        earlier = read_about(folder)
    except (UsageError, IntegrityError) as error:
        raise UsageError(
            f"{folder} is there already and cannot be read ({error}); restore or remove it first."
        ) from error
    if not _names(earlier.authors) & _names(disclosure.authors):
        raise UsageError(
            f"the name {method.name} is taken by a method of {', '.join(earlier.authors) or 'others'}; "
            "give yours another name and evaluate again."
        )
    if run.document.id != earlier.run and _numbers(method.version) <= _numbers(earlier.method.version):
        raise UsageError(
            f"version {earlier.method.version} of {method.name} is submitted already, so version {method.version} "
            "cannot take its place; raise the version in the method's file and evaluate again."
        )
    return earlier.method.version


def _place(staged: Path, folder: Path, aside: Path) -> None:
    """Give a folder that passed the gate its place, in one step after all its files are on the disk."""
    incoming = folder.parent.parent / f".incoming-{folder.parent.name}-{folder.name}"
    try:
        for left in (incoming, aside):  # of a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        incoming.mkdir(parents=True)
        for path in sorted(staged.iterdir()):
            write_bytes(incoming / path.name, path.read_bytes())
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(aside)
        incoming.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"Could not write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
        if aside.exists() and not folder.exists():
            aside.rename(folder)


def _names(authors: tuple[str, ...]) -> set[str]:
    return {" ".join(author.casefold().split()) for author in authors}


def _numbers(version: str) -> tuple[int, ...]:
    """What versions are ordered by: 1.10 comes after 1.9."""
    return tuple(map(int, re.findall(r"\d+", version)))
