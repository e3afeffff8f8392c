"""Units as the jobs of a batch system's array: a file of units, a script that runs one by its number, and what gathers
the ends that the jobs left."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.execution.child import end_abandoned
from harness.execution.claims import is_void, note_death, under_way
from harness.execution.ended import ends_by_unit, readable, standing, take_up
from harness.execution.evaluate import Prepared, job_of
from harness.execution.executor import Event
from harness.execution.job import UnitEnd, jobs_folder, planned_units, read_job, read_plan, refuse_odd_path, write_job
from harness.execution.past import earlier
from harness.execution.plan import unit_result
from harness.execution.room import needs
from harness.execution.run_files import JOURNAL, SEALED
from harness.execution.run_result import RunResult
from harness.execution.runner import Observer, execute, unfinished
from harness.execution.unit_client import UnitProcess, UnitProcessDiedError
from harness.execution.waiting import in_turns
from harness.spec.errors import UsageError, unknown
from harness.spec.run import Unit
from harness.storage import IntegrityError, Journal, RunLock, canonical_json, content_id, make_folder, write_text

_MOST_JOBS = 1000  # of one array, as SLURM and LSF come
_BESIDE_THE_METHOD = 4.0  # GiB that are asked for the unit process, where no past run tells
_MARGIN = 1.25  # of what units need, as far as it is known
LOGS = "logs"

_SLURM = """\
#!/bin/sh
#SBATCH --job-name={name}
#SBATCH --array=1-{jobs}
#SBATCH --cpus-per-task={threads}
#SBATCH --mem={memory}G
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --output={logs}/%A_%a.txt
{graphics}# Each job runs {what} and leaves how it ended in the run's folder; a job that is started again goes on.
exec {command} --index "$SLURM_ARRAY_TASK_ID"
"""
_LSF = """\
#!/bin/sh
#BSUB -J "{name}[1-{jobs}]"
#BSUB -n {threads}
#BSUB -R "span[hosts=1] rusage[mem={memory}GB]"
#BSUB -r
#BSUB -o {logs}/%J_%I.txt
{graphics}# Each job runs {what} and leaves how it ended in the run's folder; a job that is started again goes on.
exec {command} --index "$LSB_JOBINDEX"
"""
_SCRIPTS = {"slurm": _SLURM, "lsf": _LSF}
_GRAPHICS = {"slurm": "#SBATCH --gres=gpu:1\n", "lsf": '#BSUB -gpu "num=1"\n'}
SUBMIT = {"slurm": "sbatch {}", "lsf": "bsub < {}"}


@dataclass(frozen=True)
class Array:
    """What was written for an array, nothing where no unit is left to be run. each: units of one job, jobs: how many there
    are."""

    units: Path | None
    script: Path | None
    jobs: int
    each: int


def write_array(prepared: Prepared, system: str, retries: int = 2) -> Array:
    """Write the units that are left to be run, and a script that runs each in a job; the run's folder must lie where all
    machines see it. Raises UsageError for a system that is not known, and a path that its script cannot name."""
    known_system(system)
    plan, job = prepared.plan, job_of(prepared, retries=retries, detached=True)
    refuse_odd_path(plan.folder)
    folder = jobs_folder(plan.folder)
    make_folder(plan.folder)
    with RunLock(plan.folder):
        left = _left(prepared)
        if not left:
            return Array(None, None, 0, 0)
        make_folder(folder)
        write_job(job, plan)
        each = max(1, math.ceil(len(left) / _MOST_JOBS))
        order = list(left) if each > 1 else in_turns(left)  # a job goes on with a model, jobs of one unit do not
        text = "".join(canonical_json(left[key].canonical()) + "\n" for key in order)
        name = content_id(order)[:8]  # jobs of an earlier array go on with theirs
        units = folder / f"units-{name}.jsonl"
        write_text(units, text)
        make_folder(folder / LOGS)
        jobs = math.ceil(len(left) / each)
        script = folder / f"{system}-{name}.sh"
        write_text(script, _script(prepared, system, units, jobs, each))
    return Array(units, script, jobs, each)


def known_system(system: str) -> None:
    """Raises UsageError for a batch system that is not known."""
    if system not in _SCRIPTS:
        raise unknown("batch system", system, _SCRIPTS)


def run_one(file: Path, index: int, each: int = 1, report: Callable[[UnitEnd], None] = lambda end: None) -> None:
    """Run the units of a number, counted from 1, of which each job has so many; their ends lie on disk when this returns.

    What has ended already is not run again. Raises UsageError for a number that the file does not have, and as `UnitServer.run`.
    """
    units = _units(file, index, each)
    job = read_job(file.resolve().parent.parent)
    end_abandoned()
    process = UnitProcess(job)
    try:
        for unit in units:
            report(run_to_its_end(process, job.folder, unit))
    finally:
        process.close(give_back=True)


def run_to_its_end(process: UnitProcess, run: Path, unit: Unit) -> UnitEnd:
    """Submit a unit, again where its process died: `UnitServer` gives it up after a few times."""
    while True:
        try:
            return process.run(unit)
        except UnitProcessDiedError as error:
            note_death(run, content_id(unit.canonical()), str(error))


def gather(run: Path, observer: Observer, *, give_up: bool = False) -> RunResult:
    """Journal what the jobs of a run left, and seal it.

    give_up: units without an end are lost. Raises UsageError where some have none, after those with one are journaled;
    where the run is not what was planned; and where units are given up that workers are still in.
    """
    if (run / SEALED).is_file() and planned_units(run) is None:
        return RunResult.open(run)
    if give_up and (live := [begun for begun, silent in under_way(run) if not is_void(begun, silent)]):
        raise UsageError(
            f"{len(live)} units of {run} are still under way ({live[0].label} by {live[0].worker}"
            f"{', …' if len(live) > 1 else ''}); cancel their jobs, wait a minute, and give up then."
        )
    job, plan, track = read_plan(run)
    return execute(plan, track, GatheringExecutor(run, give_up), observer, job.limits)


@dataclass(frozen=True)
class GatheringExecutor:
    """Runs nothing: units end as their jobs left them."""

    run_folder: Path
    give_up: bool = False

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        missing, told = [], ends_by_unit(self.run_folder)
        for key, unit in units.items():
            if (end := readable(told.get(key, ()))) is not None:
                yield take_up(self.run_folder, end.name)
            elif self.give_up:
                yield UnitEnd(unit_result(unit, "lost", "no job left an end of it"), 0.0)
            else:
                missing.append(unit)
        if missing:
            raise UsageError(
                f"{len(missing)} units of {self.run_folder} have not ended yet ({missing[0].label}"
                f"{', …' if len(missing) > 1 else ''}); nothing was sealed. `harness status {self.run_folder}` says which "
                "are running; submit the script again for the others, or take them for lost with --give-up."
            )


def _left(prepared: Prepared) -> dict[str, Unit]:
    """Units that are neither journaled nor ended on disk. What failed is tried once more."""
    plan = prepared.plan
    with Journal.open(plan.folder / JOURNAL) as journal:
        left = unfinished(journal, plan)
    told = ends_by_unit(plan.folder)
    return {key: unit for key, unit in left.items() if standing(told.get(key, ())) is None}


def _script(prepared: Prepared, system: str, units: Path, jobs: int, each: int) -> str:
    plan, limits = prepared.plan, prepared.limits
    known = earlier(plan).memory
    memory = max(needs(prepared.track, plan.units, known).values(), default=0.0) * _MARGIN
    if not known:  # what is declared is of methods as they usually are
        memory = max(memory, limits.gibibytes + _BESIDE_THE_METHOD)
    many = ["--each", str(each)] if each > 1 else []
    command = [sys.executable, "-m", "harness", "worker", "--units", str(units.resolve()), *many]
    return _SCRIPTS[system].format(
        name=f"harness-{plan.spec.method.name}",
        jobs=jobs,
        threads=limits.threads,
        memory=max(1, math.ceil(memory)),
        logs=(units.parent / LOGS).resolve(),
        graphics=_GRAPHICS[system] if limits.device == "cuda" else "",
        what="one unit" if each == 1 else f"up to {each} units",
        command=shlex.join(command),
    )


def _units(file: Path, index: int, each: int) -> list[Unit]:
    if each < 1:
        raise UsageError(f"--each must be at least 1, it is {each}: so many units has each job.")
    if not file.exists() and (file.resolve().parent.parent / SEALED).is_file():
        raise UsageError(f"the run in {file.resolve().parent.parent} is sealed: none of its units is left to be run.")
    first = (index - 1) * each
    try:
        with file.open() as lines:
            wanted = [line for number, line in enumerate(lines) if first <= number < first + each]
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}; `harness plan --array` writes such a file."
        ) from error
    if index < 1 or not wanted:
        raise UsageError(f"{file} has no unit number {index}; they are counted from 1.")
    try:
        return [Unit.of(json.loads(line)) for line in wanted]
    except (TypeError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{file} is not a file of units; plan the run again.") from error
