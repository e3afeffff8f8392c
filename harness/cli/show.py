"""`harness show`: a sealed run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def show(
    run: Annotated[str, typer.Argument(help="folder of a run, as evaluate printed it")],
    json: options.AsJson = False,
) -> None:
    """Show a run's scores, also those of every single unit, and its place on the board.

    Example: harness show runs/confidence-mnist-2-msr-0123456789ab
    """
    from harness.boards.place import place_of
    from harness.boards.submissions import ABOUT
    from harness.cli.progress import run_bar
    from harness.cli.render import print_json_result, print_result, print_units
    from harness.execution.run_result import RunResult
    from harness.spec.errors import UsageError

    if (Path(run) / ABOUT).is_file():
        raise UsageError(
            f"{run} is a submission; its row: harness board show, its scores again: harness validate {run}"
        )
    result = RunResult.open(run)
    with run_bar("scoring the board", quiet=json) as bar:
        place = place_of(result, bar.scoring_board)
    if json:
        print_json_result(result, place)
        return
    print_units(result)
    print_result(result, place, shown=True)
