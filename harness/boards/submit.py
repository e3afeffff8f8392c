"""From a run to a submission in a checkout: refused with the reason, or through the gate and into its place at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.boards.disclosure import Disclosure
from harness.boards.maps import FILE as MAPS
from harness.boards.maps import LARGEST_FETCHED, maps_of, write_maps
from harness.boards.place import local_command
from harness.boards.submissions import SOURCES, SUBMISSIONS, read_about, require_ranked, write_about, write_submission
from harness.data.catalog import LoadedBenchmark, bundled_folder, load_protocol
from harness.data.folders import HeldFolder
from harness.execution.run_result import RunResult
from harness.methods.discovery import baseline_names
from harness.spec.errors import UsageError, first_problem
from harness.spec.submission import Maps, Submission
from harness.storage import IntegrityError, StorageError, file_id, write_bytes

if TYPE_CHECKING:
    from harness.boards.gate import Report

LEADERBOARDS = "leaderboards"
_NOT_YET = "0" * 40  # stands for the commit while the gate judges what is to be uploaded


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


def require_submittable(run: RunResult, checkout: Path) -> LoadedBenchmark:
    """The run's benchmark as the checkout has it. Raises UsageError for a run that cannot be submitted there."""
    spec, method = run.document.spec, run.document.spec.method
    identifier, _, version = spec.benchmark.partition("@")
    path = checkout / LEADERBOARDS / identifier / version / "benchmark.toml"
    if not path.is_file():
        raise UsageError(
            f"{checkout} has no benchmark {spec.benchmark}; update it, or submit into another with --into. A benchmark of "
            f"your own has no official board to submit to, but {local_command(run)} ranks your runs."
        )
    require_ranked(run)
    if run.document.environment.git_dirty:
        raise UsageError(
            f"{run.folder} was made by a harness with changes that are not committed; commit or undo them and evaluate again."
        )
    protocol = load_protocol(path)
    if protocol.hash != spec.benchmark_hash:
        raise UsageError(
            f"{run.folder} was made for a state of {spec.benchmark} that {checkout} does not know (its hash differs); evaluate again."
        )
    if method.origin == "baseline":
        raise UsageError(f"{method.name} is one of the harness's own methods, which are on the board already.")
    if method.name in (*baseline_names(), SOURCES):
        whose = "the folder of shared sources" if method.name == SOURCES else "one of the harness's own methods"
        raise UsageError(f"{method.name} is the name of {whose}; choose another and evaluate again.")
    return protocol


Upload = Callable[[Path, str], str]
"""Puts a file into a repository on the Hub under a path, and returns the commit. Raises UsageError where it cannot."""


@dataclass(frozen=True)
class MapsRepository:
    """A repository on the Hub for maps that are too large to lie beside a submission."""

    repo: str
    upload: Upload


def submit(
    run: RunResult,
    protocol: LoadedBenchmark,
    disclosure: Disclosure,
    checkout: Path,
    today: date,
    repository: MapsRepository | None = None,
) -> Submitted:
    """Store a run in the checkout, if the gate lets it pass; nothing is left in it otherwise, whatever happens.

    `protocol` as `require_submittable` gives it. With a repository, maps go there once the gate has passed them. Raises
    UsageError where the name is taken: only its authors may replace a method, by a higher version of it or by the same
    run with other facts.
    """
    from harness.boards.gate import validate

    method = run.document.spec.method
    folder = checkout / SUBMISSIONS / protocol.benchmark.name / method.name
    aside = checkout / SUBMISSIONS / f".earlier-{protocol.benchmark.name}-{method.name}"
    if aside.exists() and not folder.exists():  # a process was killed between the two renames of `_place`
        aside.rename(folder)
    replaced = _replaceable(folder, run, disclosure)
    units, track = run.units(protocol)
    if not {each.unit for each in run.document.units} <= set(units):
        raise UsageError(f"{run.folder} was made with other files or other versions of the metrics; evaluate again.")
    staging = HeldFolder()  # outside of the checkout, and found again by later runs where this process is killed
    try:
        staged = staging.path / protocol.benchmark.name / method.name
        about = write_submission(run, track, units, staged, disclosure, today)
        if repository is None:
            report = validate(staged)
        else:
            maps = write_maps(maps_of(run, track, units), staging.path / MAPS)
            about, report = _with_uploaded_maps(about, staged, maps, repository)
        if report.accepted:
            _place(staged, folder, aside)
    finally:
        staging.remove()
    return Submitted(about, folder, report, replaced)


def _with_uploaded_maps(
    about: Submission, staged: Path, file: Path, repository: MapsRepository
) -> tuple[Submission, Report]:
    """Judge a submission with all its maps, and only then upload them and say where they are."""
    from harness.boards.gate import validate

    if about.maps is None:
        raise UsageError(f"{about.name} answers with no maps, so there is nothing to upload; leave --maps out.")
    size = file.stat().st_size
    if size > LARGEST_FETCHED:
        raise UsageError(
            f"the maps have {size / 1e6:,.0f} MB, more than the {LARGEST_FETCHED / 1e6:,.0f} MB that the gate fetches; "
            "leave --maps out, and their scores stay as reported."
        )
    (staged / MAPS).unlink(missing_ok=True)
    path = f"{about.benchmark}/{about.name}-{about.method.version}-{about.run[:12]}/{MAPS}"
    place = {"sha256": file_id(file), "bytes": size, "repo": repository.repo, "file": path}
    about = _with_maps(about, {**place, "revision": _NOT_YET})
    write_about(staged, about)
    report = validate(staged, fetch=lambda maps: file)
    if report.accepted:
        about = _with_maps(about, {**place, "revision": repository.upload(file, path)})
        write_about(staged, about)
    return about, report


def _with_maps(about: Submission, place: dict[str, object]) -> Submission:
    """The submission with its maps in another place. Raises UsageError for a repository that no Hub has."""
    assert about.maps is not None
    try:
        maps = Maps.model_validate({"arrays": about.maps.arrays, **place})
    except ValidationError as error:
        raise UsageError(f"--maps {place['repo']}: {first_problem(error)}") from error
    return about.model_copy(update={"maps": maps})


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
