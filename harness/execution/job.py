"""What is submitted and how it ends, as plain data: a run's job, which any process of any machine can take up, and the
end of a unit.

A unit is submitted as JSON: the job's file and the unit. Its answers are on disk when its end is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.data.catalog import load_protocol
from harness.execution.environment import harness_source_hash
from harness.execution.method_process import Limits
from harness.execution.plan import Plan, PlanRequest, make_plan, open_track
from harness.execution.run_files import METHOD
from harness.methods.discovery import FoundMethod
from harness.spec.errors import UsageError
from harness.spec.method import read_method
from harness.spec.result import Passes, UnitResult
from harness.storage import IntegrityError, bytes_id, make_folder, read_json, write_bytes, write_json
from harness.tracks.base import Track

JOBS = "jobs"
"""Folder of a run, while it is not sealed: its job's file, who works on which unit, and ends not yet journaled."""
JOB = "job.json"
_READ_OTHERWISE = re.compile(r"[\s%\"']")


def refuse_odd_path(run: Path) -> None:
    """Raises UsageError for a run's folder that a batch system's script cannot name."""
    if odd := sorted(set(_READ_OTHERWISE.findall(str(run.resolve())))):
        raise UsageError(
            f"the path {run.resolve()} has {' and '.join(map(repr, odd))} in it, which batch systems read in their "
            "own way where they are told where logs go; choose another folder with --out."
        )


@dataclass(frozen=True)
class Job:
    """What a process that runs units must know about the run.

    retries: how often a unit is begun again after a worker was lost with it; None: as often as it takes. session: workers
    lost in another session do not count. detached: whether answers and ends are left in the run's folder `jobs/ended`,
    under names that nobody else writes, for the one process that journals them.
    """

    benchmark: Path
    method: FoundMethod
    folder: Path
    limits: Limits
    shuffle: int = 0
    retries: int | None = None
    session: str = ""
    detached: bool = False

    def canonical(self) -> dict[str, Any]:
        """All but the method's source, JSON-ready."""
        return {
            "benchmark": str(self.benchmark.resolve()),
            "folder": str(self.folder.resolve()),
            "limits": asdict(self.limits),
            "shuffle": self.shuffle,
            "retries": self.retries,
            "session": self.session,
            "detached": self.detached,
            "method": self.method.spec.canonical(),
            "module": self.method.module,
            "path": str(self.method.path.resolve()),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any], source: bytes) -> Job:
        """From what `canonical` gave. Raises KeyError, TypeError or ValidationError for anything else."""
        limits = plain["limits"] | {"readable": tuple(plain["limits"]["readable"])}
        return cls(
            Path(plain["benchmark"]),
            FoundMethod(read_method(plain["method"]), source, Path(plain["path"]), plain["module"]),
            Path(plain["folder"]),
            Limits(**limits),
            plain["shuffle"],
            plain["retries"],
            plain["session"],
            plain["detached"],
        )


def jobs_folder(run: Path) -> Path:
    return run / JOBS


def write_job(job: Job, plan: Plan) -> None:
    """Put a job where workers that see the run's folder find it, with the method's source beside it as `method.py`."""
    make_folder(jobs_folder(job.folder))
    about = {"harness": harness_source_hash(), "run": plan.id, "seed": plan.spec.seed, "limit": plan.spec.limit}
    write_bytes(job.folder / METHOD, plan.source)
    write_json(jobs_folder(job.folder) / JOB, job.canonical() | about | {"units": len(plan.units)})


def read_job(run: Path) -> Job:
    """The job of a run's folder, wherever that is mounted here.

    Raises UsageError where there is none, or where this machine has another version of the harness; IntegrityError for a
    damaged one.
    """
    job, plain = _read(run)
    if plain["harness"] != harness_source_hash():
        raise UsageError(
            f"{run} was planned with another version of the harness than this machine has; install the same one here."
        )
    return job


def read_plan(run: Path) -> tuple[Job, Plan, Track]:
    """The job of a run's folder, the plan that it was made of, and its track. Raises as `read_job`, and UsageError where
    the benchmark is not what it was."""
    job, plain = read_job(run), _read(run)[1]
    protocol = load_protocol(job.benchmark)
    device = job.limits.device
    track = open_track(protocol, job.method.spec, device, job.shuffle)
    plan = make_plan(protocol, track, job.method, PlanRequest(run.parent, plain["seed"], device, plain["limit"]))
    planned = (plain["run"], plain["units"], Path(plain["folder"]).name)  # named after units, where no hash pins files
    if (plan.id, len(plan.units), plan.folder.name) != planned:
        raise UsageError(
            f"{job.benchmark}, or a file of it, was changed after {run} was planned, and units that ended there are of the "
            "old one: restore it, or plan again, which begins a new run."
        )
    return job, replace(plan, folder=run), track


def planned_units(run: Path) -> int | None:
    """How many units a run's job has; None where it has no job."""
    path = jobs_folder(run) / JOB
    return int(read_json(path)["units"]) if path.is_file() else None


def _read(run: Path) -> tuple[Job, dict[str, Any]]:
    path = jobs_folder(run) / JOB
    try:
        plain, source = read_json(path), (run / METHOD).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{run} holds no job to work on: {error.strerror}: {error.filename}; `harness plan --array` makes one."
        ) from error
    try:
        job = Job.of({**plain, "folder": str(run)}, source)
        if not {"harness", "run", "seed", "limit", "units"} <= set(plain):
            raise KeyError
    except (KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"{path} was not written by this version of the harness; plan the run again.") from error
    if bytes_id(source) != job.method.spec.source_sha256:
        raise IntegrityError(f"{run / METHOD} was changed after the run was planned; plan it again.")
    return job, plain


@dataclass(frozen=True)
class UnitEnd:
    """How a unit ended, how long it took, and what the method passed through networks, where it got any.

    seconds: its cost, of processors where they do the work (`UnitServer`). wall_seconds: of the clock; journals of older
    versions have none. worker: host and process that ran it. memory: GiB that its processes held at most since they were
    started. fence: what stood around the method there. These are empty where a unit did not run.
    """

    result: UnitResult
    seconds: float
    passes: Passes | None = None
    worker: str = ""
    memory: float | None = None
    fence: str = ""
    wall_seconds: float | None = None

    @property
    def duration(self) -> float:
        """Seconds of the clock, or the cost where they were not journaled."""
        return self.seconds if self.wall_seconds is None else self.wall_seconds

    def canonical(self) -> dict[str, Any]:
        """A journal's line."""
        names = ("worker", "memory", "fence", "wall_seconds")
        passes = {} if self.passes is None else {"passes": self.passes.canonical()}
        known = {name: value for name in names if (value := getattr(self, name))}
        return {"unit": self.result.canonical(), "seconds": self.seconds, **passes, **known}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> UnitEnd:
        """From what `canonical` gave. Raises KeyError or ValidationError for anything else."""
        passes = plain.get("passes")
        return cls(
            UnitResult.model_validate(plain["unit"]),
            plain["seconds"],
            None if passes is None else Passes.model_validate(passes),
            **{each.name: plain[each.name] for each in fields(cls)[3:] if each.name in plain},
        )
