"""`harness gather`: seal what the jobs of an array left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def gather(
    run: Annotated[Path, typer.Argument(help="folder of a run, as `harness plan --array` printed it")],
    give_up: Annotated[
        bool,
        typer.Option("--give-up", help="seal now: units without an end are lost, and a later run tries them again"),
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Journal how the units ended that jobs ran, and seal the run once all of them have. Exit code 1 if some failed.

    Example: harness gather runs/confidence-mnist-2-msr-0123456789ab
    """
    from harness.boards.place import place_of
    from harness.cli import render
    from harness.cli.progress import run_bar
    from harness.execution.array import gather as gather_run
    from harness.reports.run_report import write_run_report

    with run_bar("gathering", quiet=json) as bar:
        result = gather_run(run, bar, give_up=give_up)
        place = place_of(result, bar.scoring_board)
        report = write_run_report(result, result.protocol(), place)
    if json:
        render.print_json_result(result, place)
    else:
        render.print_result(result, place, report, None)
    raise typer.Exit(1 if result.failed else 0)
