"""`harness worker`: one unit, for the jobs of any batch system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.execution.job import UnitEnd


def worker(
    units: Annotated[Path, typer.Option("--units", help="file of units that `harness plan --array` wrote")],
    index: Annotated[int, typer.Option("--index", help="which one, counted from 1: the number of the array's job")],
    each: Annotated[int, typer.Option("--each", help="units of one job, where there are more units than jobs")] = 1,
) -> None:
    """Run one unit of a run and leave how it ended in the run's folder. A unit that has ended is not run again.

    SIGTERM gives the unit back: the same command, on any machine, goes on from what is kept of it. Exit code 0 says that
    the end lies on disk, whatever it is; `harness gather` seals what all jobs left.

    Example: harness worker --units runs/confidence-mnist-2-msr-0123456789ab/jobs/units-01234567.jsonl --index 3
    """
    from harness.cli.output import say
    from harness.execution.array import run_one

    def report(end: UnitEnd) -> None:
        why = f": {end.result.reason}" if end.result.reason else ""
        say(f"{end.result.study} · {end.result.model}: {end.result.status}{why}")

    run_one(units, index, each, report)
