"""Released versions of benchmarks are never edited: `leaderboards/versions.lock` says what they were released as.

A version may end. Then its file gains `status = "deprecated"` and `successor = "id@version"`, two lines before the
first table, and nothing else; neither is part of the benchmark's hash, so that its board still builds. One that does not
say what it claims is withdrawn: `status = "withdrawn"`, `successor` and one line `reason = "..."`, a clause that completes
"it is withdrawn, because". Nothing is evaluated by it any more; CHANGES.md tells the whole story. Nor is a line
`ranks_from` part of the hash: from which tier on rows have ranks is no matter of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.boards.build import JSON, read_board
from harness.boards.submissions import submission_folders, submissions_folder
from harness.data.catalog import LoadedBenchmark, benchmark_files, bundled_folder, load_protocol
from harness.spec.base import Sha256, Spec
from harness.spec.errors import UsageError, unknown
from harness.storage import IntegrityError, bytes_id, file_id, read_json, write_json

LOCK = "versions.lock"
_ENDED = (b"status", b"successor", b"reason")
_RANKS = (b"ranks_from",)


class Locked(Spec):
    """What a version was released as: sha256 of the bytes of its `benchmark.toml`, and the benchmark's hash."""

    file: Sha256
    hash: Sha256


def lock_path() -> Path:
    return bundled_folder("leaderboards") / LOCK


def read_lock() -> dict[str, Locked]:
    """`id@version` -> what it was released as; empty without a file. Raises IntegrityError for a damaged one."""
    path = lock_path()
    if not path.is_file():
        return {}
    try:
        found: Mapping[str, Any] = read_json(path)
        return {str(name): Locked.model_validate(fields) for name, fields in found.items()}
    except (ValidationError, AttributeError) as error:
        raise IntegrityError(f"{path} is damaged; restore it from the repository.") from error


def lock_version(name: str) -> bool:
    """Freeze a benchmark `id@version`: add it to the lock, False if it stands there already.

    Raises UsageError for an unknown one, and for one that was changed since: an entry is never changed.
    """
    files = benchmark_files()
    if name not in files:
        raise unknown("benchmark", name, files)
    locked = read_lock()
    if name in locked:
        problem = _changed(load_protocol(files[name]), locked[name])
        if problem:
            raise UsageError(problem)
        return False
    protocol = load_protocol(files[name])
    every = {**locked, name: Locked(file=file_id(protocol.path), hash=protocol.hash)}
    write_json(lock_path(), {each: entry.canonical() for each, entry in every.items()})
    return True


def frozen_problems(name: str | None = None) -> tuple[str, ...]:
    """A sentence for each version, or for one, that was released and is not as it was, or is released and not locked.

    Released is what has submissions, or a board with rows: numbers of papers alone do not release a protocol. Raises
    IntegrityError for a damaged lock or board.
    """
    locked, files = read_lock(), benchmark_files()
    names = sorted({*files, *locked}) if name is None else [name]
    return tuple(sentence for each in names for sentence in _problems(each, files.get(each), locked.get(each)))


def _problems(name: str, path: Path | None, locked: Locked | None) -> Iterator[str]:
    if path is None:
        yield f"{name} is released and its benchmark.toml is gone; restore it, old boards must stay buildable."
        return
    try:
        protocol = load_protocol(path)
    except UsageError as error:
        yield str(error)
        return
    problem = _changed(protocol, locked) if locked else _unlocked(protocol)
    if problem:
        yield problem
    yield from _ending(protocol)


def _changed(protocol: LoadedBenchmark, locked: Locked) -> str | None:
    ended = _ENDED if protocol.benchmark.status != "open" else ()
    files = (_id_without(protocol.path, names) for names in ((), ended, _RANKS, ended + _RANKS))
    if locked.hash == protocol.hash and locked.file in files:
        return None
    return (
        f"{protocol.path} differs from what was released as {protocol.benchmark.name}; restore it, and make the change "
        f"a new version, {protocol.benchmark.id}/{protocol.benchmark.version + 1}/benchmark.toml."
    )


def _unlocked(protocol: LoadedBenchmark) -> str | None:
    name = protocol.benchmark.name
    has_board = (protocol.path.parent / JSON).is_file()
    if not submission_folders(submissions_folder(name)) and not (has_board and read_board(protocol).rows):
        return None
    return f"{name} is released (it has a board or submissions) and not locked; run: harness board lock {name}"


def _ending(protocol: LoadedBenchmark) -> Iterator[str]:
    benchmark = protocol.benchmark
    if benchmark.status == "open" and benchmark.successor is not None:
        yield f'{protocol.path} names a successor but is open; set status = "deprecated" or take the successor out.'
    if (benchmark.status == "withdrawn") != bool(benchmark.reason):
        yield f'{protocol.path} must give a reason where status = "withdrawn", and only there.'
    if benchmark.status != "open" and benchmark.successor not in {*benchmark_files()} - {benchmark.name}:
        named = f"names {benchmark.successor!r}, which is none" if benchmark.successor else "names none"
        yield f"{protocol.path} is {benchmark.status} and must name a bundled benchmark as its successor; it {named}."


def _id_without(path: Path, names: tuple[bytes, ...]) -> str:
    """sha256 of a benchmark's file without those lines before its first table that give these fields."""
    lines = path.read_bytes().splitlines(keepends=True)
    first = next((number for number, line in enumerate(lines) if line.startswith(b"[")), len(lines))
    head = [line for line in lines[:first] if line.partition(b"=")[0].strip() not in names]
    return bytes_id(b"".join(head + lines[first:]))
