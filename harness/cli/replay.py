"""`harness replay`: scores of finished campaigns without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table, say_json


def replay(
    folder: Annotated[
        Path,
        typer.Argument(help="a run of the harness, or a folder of nnActive's results; with --loops or a submission"),
    ],
    raw: Annotated[
        Path | None, typer.Option(help="nnActive's folder of raw data, whose loop files count the patches")
    ] = None,
    loops: Annotated[
        Path | None,
        typer.Option(
            help="write the queries of a run or submission there, as loop files with summaries; score nothing"
        ),
    ] = None,
    benchmark: options.OwnBenchmark = None,
    json: options.AsJson = False,
) -> None:
    """Score a finished run again from what it stored; nothing is trained and no method is asked.

    Of a run of the harness: every score, and whether it still is the sealed one (exit code 1 if not). Of nnActive's
    results (config.json and loop_000/summary.json): the area under the budget curve and the final Dice of each run.

    With --loops: one folder a campaign with loop_000.json (patches in nnActive's format, or {"images": [rows of the
    pool]}) and loop_000/summary.json for every loop.

    Example: harness replay runs/query-mnist-2-bald-0123456789ab
    """
    from harness.boards.submissions import ABOUT
    from harness.execution.run_files import SEALED
    from harness.spec.errors import UsageError

    if loops is not None:
        from harness.boards.loops import write_loops

        written = write_loops(folder, loops, benchmark)
        typer.echo("\n".join(map(str, written)))
        raise typer.Exit(0)
    if (folder / ABOUT).is_file():
        raise UsageError(f"{folder} is a submission; to score it again: harness validate {folder}")
    changed = (
        _own(folder, benchmark, as_json=json) if (folder / SEALED).is_file() else _published(folder, raw, as_json=json)
    )
    raise typer.Exit(1 if changed else 0)


def _own(folder: Path, benchmark: Path | None, *, as_json: bool) -> bool:
    from harness.boards.replay import replay as replay_run
    from harness.cli.render import print_json_result, print_result
    from harness.execution.run_result import RunResult

    run = RunResult.open(folder)
    again = replay_run(run, run.protocol(benchmark))
    scored = run.document.model_copy(
        update={
            "summary": again.summary,
            "units": tuple(
                unit.model_copy(update={"records": again.records.get(unit.unit, unit.records)})
                for unit in run.document.units
            ),
        }
    )
    shown = RunResult(scored, run.folder)
    if as_json:
        print_json_result(shown, "scored again; see board show for places")
    else:
        print_result(shown, "it was scored again from stored outputs")
        for line in again.changed:
            typer.echo(f"differs from the sealed score: {line}")
        if not again.changed:
            typer.echo("Every score is the sealed one.")
    return bool(again.changed)


def _published(folder: Path, raw: Path | None, *, as_json: bool) -> bool:
    from harness.tracks.query.published import read_runs, run_scores

    scores = run_scores(read_runs(folder, raw))
    if as_json:
        say_json(scores.to_dict(orient="records"))
    else:
        numbers = ("seed", "aubc", "final")
        print_table(
            {str(name): RIGHT if name in numbers else LEFT for name in scores.columns},
            [
                [f"{100 * value:.2f}" if isinstance(value, float) else str(value) for value in row]
                for row in scores.itertuples(index=False)
            ],
            title="mean Dice × 100",
        )
    return False
