"""`harness status`: how a run gets on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.execution.status import RunStatus, WorkerStatus, Working

_MOST_IDLE = 12
"""Workers in no unit that are listed one by one; more are one row."""
_USUAL_SILENCE = 10.0  # seconds between two signs of life


def status(
    run: Annotated[Path, typer.Argument(help="folder of a run, as evaluate or plan printed it")],
    json: options.AsJson = False,
) -> None:
    """Show how many units of a run are done, running and failed, what each worker does, and the time left.

    From any machine that sees the folder, while the run is under way or after; nothing is changed.

    Example: harness status runs/confidence-mnist-2-msr-0123456789ab
    """
    from harness.cli.output import say, say_json
    from harness.execution.status import run_status

    found = run_status(run)
    if json:
        say_json(_described(found))
        return
    say(_summary(found))
    if found.workers:
        _print_workers(found)


def _summary(found: RunStatus) -> str:
    total = "" if found.units is None else f" of {found.units}"
    inapplicable = f" ({found.inapplicable} of them not applicable)" if found.inapplicable else ""
    parts = [f"{found.done}{total} units done{inapplicable}", f"{len(found.running)} running", f"{found.failed} failed"]
    if found.lost:
        parts.append(f"{found.lost} lost their worker")
    if found.waiting:
        parts.append(f"{found.waiting} waiting")
    if found.sealed:
        parts.append("sealed")
    elif found.seconds_left is not None:
        by_cost = " (by processor seconds: no others were journaled)" if found.by_cost else ""
        parts.append(f"about {timedelta(seconds=round(found.seconds_left))} left{by_cost}")
    return ", ".join(parts)


def _print_workers(found: RunStatus) -> None:
    from harness.cli.output import LEFT, RIGHT, print_table

    columns = {"worker": LEFT, "units": RIGHT, "failed": RIGHT, "seconds": RIGHT, "now": LEFT}
    print_table(columns, [_row(name, each) for name, each in _folded(found.workers).items()])


def _folded(workers: dict[str, WorkerStatus]) -> dict[str, WorkerStatus]:
    """As they are, or, of many, those that are in no unit together: each job of an array is a worker of its own."""
    from harness.execution.status import WorkerStatus

    idle = [each for each in workers.values() if each.now is None]
    if len(idle) <= _MOST_IDLE:
        return workers
    sums = (sum(each.units for each in idle), sum(each.failed for each in idle), sum(each.seconds for each in idle))
    working = {name: each for name, each in workers.items() if each.now is not None}
    return {**working, f"{len(idle)} in no unit now": WorkerStatus(*sums)}


def _row(name: str, each: WorkerStatus) -> list[str]:
    return [name, str(each.units), str(each.failed), f"{each.seconds:.0f}", _doing(each.now)]


def _doing(now: Working | None) -> str:
    from rich.markup import escape

    if now is None:
        return ""
    begun = now.begun
    progress = f": {begun.what} ({begun.share:.0%})" if begun.what else ""
    silence = f", silent for {now.silent:.0f} s" if now.silent > 2 * _USUAL_SILENCE else ""
    return escape(f"{begun.label}{progress}{silence}")


def _described(found: RunStatus) -> dict[str, Any]:
    return {
        "folder": str(found.folder),
        "sealed": found.sealed,
        "units": found.units,
        "done": found.done,
        "not_applicable": found.inapplicable,
        "failed": found.failed,
        "running": len(found.running),
        "lost": found.lost,
        "waiting": found.waiting,
        "seconds_left": found.seconds_left,
        "units_by_processor_seconds": found.by_cost,
        "workers": {
            name: {
                "units": each.units,
                "failed": each.failed,
                "seconds": each.seconds,
                "now": each.now.begun.label if each.now else None,
                "share": each.now.begun.share if each.now else None,
                "silent": each.now.silent if each.now else None,
            }
            for name, each in found.workers.items()
        },
    }
