"""`harness evaluate`: run a method under a benchmark's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from shlex import quote
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.execution.child import ChildProcess
    from harness.execution.evaluate import Prepared, Request


def evaluate(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="file.py, file.py:name, package/name of a plug-in, or a baseline such as msr; several in turn"
        ),
    ],
    benchmark: options.Benchmark = None,
    out: options.Out = Path("runs"),
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = 1,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
    fence: options.Fence = "auto",
    allow_read: options.AllowRead = None,
    executor: Annotated[
        str, typer.Option("--executor", help="where units run: local, or dask with the extra `cluster`")
    ] = "local",
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="of dask: local, tcp://HOST:PORT of a scheduler, slurm, lsf, or FILE.toml"),
    ] = None,
    retries: options.Retries = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the units and stop")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="never use the network")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="discard what an earlier run of the same kind left")] = False,
    json: options.AsJson = False,
) -> None:
    """Score a method on every study of a benchmark, with intervals, and place it on the board.

    An interrupted run goes on where it stopped. Exit code 1 if some units failed or none has scores. Several methods are evaluated one after
    the other, each into a run of its own; nothing is run before all of them are found.

    Example: harness evaluate my_method.py --limit 200

    Example: harness evaluate my_method.py --executor dask --cluster slurm --workers 8 --out /shared/runs
    """
    if offline:
        go_offline()
    with _unit_process_ahead(threads, wanted=executor == "local" and not dry_run) as ahead:
        from harness.execution.evaluate import Request, prepare

        requests = [
            Request(
                method=method,
                benchmark=benchmark,
                out=out,
                limit=limit,
                seed=seed,
                device=device,
                workers=workers,
                threads=threads,
                timeout=timeout,
                memory=memory,
                fresh=fresh,
                fence=fence,
                allow_read=tuple(allow_read or ()),
                executor=executor,
                cluster=cluster,
                retries=retries,
            )
            for method in methods
        ]
        prepared = [prepare(request) for request in requests]
        if dry_run:
            from harness.cli.plan import render_plan

            for each in prepared:
                render_plan(each, as_json=json)
            return
        runs = [
            _evaluate(request, each, ahead if number == 0 else None, as_json=json, alone=len(methods) == 1)
            for number, (request, each) in enumerate(zip(requests, prepared, strict=True))
        ]
        if json:
            from harness.cli.output import say_json

            found = [each.shown for each in runs]
            say_json(found[0] if len(found) == 1 else found)
        elif len(runs) > 1:
            _say_next(
                [each.folder for each in runs if not each.code], benchmark if not prepared[0].protocol.bundled else None
            )
    raise typer.Exit(max(each.code for each in runs))


_MOST_PAIRS = 3


@dataclass(frozen=True)
class _Evaluated:
    """Of one method: exit code, folder of the run, and what `--json` prints."""

    code: int
    folder: Path
    shown: dict[str, object]


def _say_next(folders: list[Path], own: str | None) -> None:
    """What compares runs in which all went well; a board compares many."""
    from harness.cli.output import say

    first, *others = dict.fromkeys(folders) or (Path(),)
    if others:
        board = [f"harness board build {quote(own)} --runs {quote(str(first.parent))}"] if own else []
        pairs = (f"harness compare {first} {other}" for other in others[:_MOST_PAIRS])
        say("\n  ".join(["\nSide by side:", *board, *pairs]))


@contextmanager
def _unit_process_ahead(threads: int, *, wanted: bool) -> Iterator[ChildProcess | None]:
    """The first unit process, which imports while this one imports and plans; it ends with the block at the latest."""
    from harness.execution.child import unit_child
    from harness.storage import StorageError

    ahead = None
    with suppress(StorageError):  # who needs it is told why
        ahead = unit_child(threads) if wanted else None
    try:
        yield ahead
    finally:
        if ahead is not None:
            ahead.kill()


def _evaluate(
    request: Request, prepared: Prepared, ahead: ChildProcess | None, *, as_json: bool, alone: bool
) -> _Evaluated:
    from harness.execution.evaluate import can_run, evaluate_prepared, executor_for

    executor = executor_for(request, prepared, ahead)  # its processes start while this one imports what shows results
    from harness.boards.place import place_of
    from harness.cli import render
    from harness.cli.output import say
    from harness.cli.progress import run_bar
    from harness.execution.fence import landlock_problem
    from harness.reports.run_report import write_run_report

    with run_bar(f"checking {'the method' if alone else request.method}", quiet=as_json) as bar:
        if request.fence == "auto" and prepared.limits.fence == "none":
            typer.echo(
                f"No fence: {landlock_problem()}. An audit hook alone watches the method (SECURITY.md).", err=True
            )
        if (free := _too_little_memory(request, prepared)) is not None:
            typer.echo(
                f"--memory {request.memory:g} is more GiB than are free here ({free:.3g}): a method that takes all of them "
                "is not stopped by it.",
                err=True,
            )
        bar.begun = partial(_import_ahead, prepared.track.imports_to_show())
        result = evaluate_prepared(prepared, bar.listener, fresh=request.fresh, executor=executor)
        place = place_of(result, bar.scoring_board)
        report = write_run_report(result, prepared.protocol, place)
    if not as_json:
        further = getattr(prepared.protocol.benchmark, "next_step", None)
        goes_on = bool(further) and result.complete and can_run(replace(request, benchmark=further))
        command = f"harness evaluate {quote(request.method)} --benchmark {further}" if goes_on else None
        typer.echo(err=True)  # between the checks and the scores, of which a pipe gets the latter alone
        render.print_result(result, place, report, command, reused=bar.reused)
        if not alone:
            say("")
    scored = any(unit.status == "ok" for unit in result.document.units)
    return _Evaluated(1 if result.failed or not scored else 0, result.folder, render.as_json(result, place))


def _too_little_memory(request: Request, prepared: Prepared) -> float | None:
    """GiB that are free on this machine, where a method may grow beyond them because the user said so."""
    from harness.execution.room import free_memory

    if request.executor != "local" or prepared.limits.device == "cuda" or request.memory <= type(request).memory:
        return None
    free = free_memory()
    return free if free is not None and free < request.memory else None


def _import_ahead(names: Iterable[str]) -> None:
    """Import modules beside what goes on. Who needs one that is missing says so."""

    def load() -> None:
        for name in names:
            with suppress(ImportError):
                import_module(name)

    Thread(target=load, daemon=True).start()


def go_offline() -> None:
    """Tell the libraries that could reach for the network not to."""
    import os

    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
