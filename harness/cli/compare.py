"""`harness compare`: two methods or two boards side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table, say_json

if TYPE_CHECKING:
    from harness.boards.compare import BoardComparison, Comparison


def compare(
    a: Annotated[str, typer.Argument(help="folder of a run or submission, benchmark@version/method, or a board")],
    b: Annotated[str, typer.Argument(help="the same; beside a board, also a git revision")],
    benchmark: options.OwnBenchmark = None,
    json: options.AsJson = False,
) -> None:
    """Show how far two methods differ in every column, or who moved between two boards.

    Differences are paired: both methods meet the same resamples of samples and seeds.

    Example: harness compare runs/<run> confidence-mnist@2/msr
    """
    from dataclasses import asdict

    from harness.boards.compare import BoardComparison
    from harness.boards.compare import compare as compared

    found = compared(a, b, benchmark)
    if json:
        say_json(asdict(found))
    elif isinstance(found, BoardComparison):
        _print_boards(found)
    else:
        _print_methods(found)


def _print_boards(found: BoardComparison) -> None:
    typer.echo(f"from {found.a} to {found.b}: {'no row changed.' if not found.changes else ''}".rstrip())
    for change in found.changes:
        typer.echo(f"  {change.method} {change.text}")


def _print_methods(found: Comparison) -> None:
    from harness.metrics.facts import board_text

    shows = found.shows
    if not found.differences:
        typer.echo(f"{found.a} and {found.b} have no column of {found.benchmark} in which both have a score.")
        return
    scale = "" if shows.scale == 1.0 else f" × {shows.scale:g}"
    arrow = "↓" if shows.lower_is_better else "↑"
    print_table(
        {"": LEFT, "A": RIGHT, "B": RIGHT, "A - B": RIGHT, "95 % interval": RIGHT, "better": LEFT},
        [
            [
                each.column,
                *(board_text(shows.metric, number, 2) for number in (each.a, each.b, each.difference)),
                f"{board_text(shows.metric, each.low, 2)} to {board_text(shows.metric, each.high, 2)}",
                each.better or "not told apart",
            ]
            for each in found.differences
        ],
        title=f"A: {found.a}, B: {found.b} ({found.benchmark}): {shows.title}{scale} {arrow}",
    )
    if found.note:
        typer.echo(found.note)
