"""`harness evaluate`: run a method under a benchmark's protocol."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from harness.cli import options


def evaluate(
    method: options.Method,
    benchmark: options.Benchmark = None,
    out: options.Out = Path("runs"),
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: options.Workers = None,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
    fence: options.Fence = "auto",
    allow_read: options.AllowRead = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the units and stop")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="never use the network")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="discard what an earlier run of the same kind left")] = False,
    json: options.AsJson = False,
) -> None:
    """Score a method on every study of a benchmark, with intervals, and place it on the board.

    An interrupted run goes on where it stopped. Exit code 1 if some units failed.

    Example: harness evaluate my_method.py --limit 200
    """
    from harness.execution.evaluate import Request, prepare

    if offline:
        go_offline()
    request = Request(
        method=method,
        benchmark=benchmark,
        out=out,
        limit=limit,
        seed=seed,
        device=device,
        workers=workers,
        timeout=timeout,
        memory=memory,
        fresh=fresh,
        fence=fence,
        allow_read=tuple(allow_read or ()),
    )
    if dry_run:
        from harness.cli.plan import render_plan

        render_plan(prepare(request), as_json=json)
        return
    code = _evaluate(request, as_json=json)
    raise typer.Exit(code)


def _evaluate(request: Any, *, as_json: bool) -> int:
    from harness.boards.place import place_of
    from harness.cli.progress import run_bar
    from harness.cli.render import print_json_result, print_result
    from harness.execution.evaluate import evaluate_prepared, prepare
    from harness.execution.fence import landlock_problem
    from harness.reports.run_report import write_run_report

    with run_bar("checking the method", quiet=as_json) as bar:
        prepared = prepare(request)
        if request.fence == "auto" and prepared.limits.fence == "none":
            typer.echo(
                f"No fence: {landlock_problem()}. An audit hook alone watches the method (SECURITY.md).", err=True
            )
        result = evaluate_prepared(prepared, bar.listener, fresh=request.fresh)
        place = place_of(result, bar.scoring_board)
        report = write_run_report(result, prepared.protocol, place)
    if as_json:
        print_json_result(result, place)
    else:
        further = getattr(prepared.protocol.benchmark, "next_step", None)
        command = f"harness evaluate {quote(request.method)} --benchmark {further}" if further else None
        typer.echo(err=True)  # between the checks and the scores, of which a pipe gets the latter alone
        print_result(result, place, report, command)
    scored = any(unit.status == "ok" for unit in result.document.units)
    return 1 if result.failed or not scored else 0


def go_offline() -> None:
    """Tell the libraries that could reach for the network not to."""
    import os

    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
