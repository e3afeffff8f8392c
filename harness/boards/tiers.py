"""Tiers of rows: *recomputed*, or *reproduced* where a record says so that a maintainer has committed.

A record lies beside the board, never in a submission, so that who submits writes nothing there. It counts for the state
of the submission that it was made of; where that changed since, the row is recomputed again.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark, bundled_folder
from harness.spec.errors import first_problem
from harness.spec.submission import Reproduction, Submission, Tier
from harness.storage import IntegrityError, content_id, read_json

RECORDS = "reproductions"
"""The folder beside a board that holds what `reproduce` wrote of its rows, `<method>.json`; maintainers commit it."""
_LARGEST = 1_000_000  # bytes of its file


def record_path(about: Submission) -> Path:
    """Where the record of a submission lies: `leaderboards/<benchmark>/<version>/reproductions/<method>.json`."""
    identifier, _, version = about.benchmark.partition("@")
    return bundled_folder("leaderboards") / identifier / version / RECORDS / f"{about.name}.json"


def maps_id(about: Submission) -> str | None:
    """Hash of the maps that a submission names, wherever they lie; None without any."""
    return None if about.maps is None else content_id(about.maps.arrays)


def current_record(about: Submission) -> Reproduction | None:
    """The record of this state of a submission; None where there is none, or of another state, or not to be read."""
    try:
        found = read_reproduction(record_path(about))
    except (OSError, IntegrityError):
        return None
    fits = (found.run, found.outputs, found.maps) == (about.run, about.outputs, maps_id(about))
    return found if fits else None


def tier_of(about: Submission) -> Tier:
    """reproduced: a record says that the outputs of this run came out again; else recomputed."""
    found = current_record(about)
    return "reproduced" if found is not None and found.same else "recomputed"


def waits(protocol: LoadedBenchmark, about: Submission) -> bool:
    """Whether a row has no rank before it is reproduced."""
    return protocol.benchmark.ranked_tier == "reproduced" and tier_of(about) == "recomputed"


def read_reproduction(path: Path) -> Reproduction:
    """A record. Raises OSError where there is nothing, IntegrityError where it cannot be read."""
    try:
        return Reproduction.model_validate(read_json(path, max_bytes=_LARGEST))
    except ValidationError as error:
        raise IntegrityError(f"{path}: {first_problem(error)}") from error
