"""`harness board`: leaderboards, built from submissions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options

app = typer.Typer(
    help="Build and show leaderboards.\n\nExample: harness board show confidence-mnist@1", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="id@version")]


@app.command()
def build(benchmark: Name) -> None:
    """Score and rank all submissions; write board.json, board.csv and board.md beside the benchmark.

    Example: harness board build confidence-mnist@1
    """
    from harness.boards.build import build_board, write_board
    from harness.cli.progress import listening
    from harness.cli.render import print_board
    from harness.data.catalog import find_protocol

    protocol = find_protocol(benchmark)
    with listening("scoring the board") as listener:
        board = build_board(protocol, listener.scoring_board)
    paths = write_board(board, protocol)
    print_board(board, protocol.benchmark)
    for path in paths:
        typer.echo(path)


@app.command()
def show(benchmark: Name, json: options.AsJson = False) -> None:
    """Show the board as it was last built.

    Example: harness board show confidence-mnist@1
    """
    from harness.boards.build import read_board
    from harness.cli.render import print_board
    from harness.data.catalog import find_protocol

    protocol = find_protocol(benchmark)
    board = read_board(protocol)
    if json:
        typer.echo(board.model_dump_json(indent=2))
    else:
        print_board(board, protocol.benchmark)


@app.command()
def baselines(
    benchmark: Name,
    names: Annotated[list[str] | None, typer.Argument(help="baselines; default: all of the benchmark's kind")] = None,
    out: options.Out = Path("runs"),
) -> None:
    """Run baselines and store them as submissions. For maintainers of a benchmark.

    Example: harness board baselines attribution-mnist@1 saliency grad-cam
    """
    from harness.boards.baselines import submit_baselines
    from harness.cli.progress import listening
    from harness.data.catalog import find_protocol

    with listening("running baselines") as listener:
        for name, where in submit_baselines(find_protocol(benchmark), out, listener, names or None):
            typer.echo(f"{name}: {where}")
