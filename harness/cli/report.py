"""`harness report`: the page of a sealed run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def report(
    run: Annotated[str, typer.Argument(help="folder of a run, as evaluate printed it")],
    benchmark: Annotated[
        Path | None, typer.Option("--benchmark", help="the benchmark's file, where it is not bundled and was moved")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    json: options.AsJson = False,
) -> None:
    """Write a run's page (`report.html` in its folder): scores, place on the board, and charts beside the board's rows.

    The page is one file that opens from disk and loads nothing.

    Example: harness report runs/confidence-mnist-1-msr-0123456789ab --open
    """
    from harness.boards.place import place_of
    from harness.cli.output import say_json
    from harness.cli.progress import run_bar
    from harness.execution.run_result import RunResult
    from harness.reports.run_report import write_run_report

    result = RunResult.open(run)
    with run_bar("scoring the board", quiet=json) as bar:
        page = write_run_report(result, result.protocol(benchmark), place_of(result, bar.scoring_board))
    if show:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    if json:
        say_json({"report": str(page)})
    else:
        typer.echo(str(page))
