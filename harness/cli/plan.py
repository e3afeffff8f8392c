"""`harness plan`: what a run would do, and what it would need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from harness.execution.needs import Need, Needs
    from harness.tracks.costs import Estimate

# Measured on two laptop-class cores with the embedded benchmark: a rough guide, not a promise.
_SECONDS_TO_START, _SECONDS_A_SET = 4.0, 0.6
_MOST_UNITS = 120
"""More units are counted, not listed."""
_MOST_FILES = 8
"""Of more files that are not here, the others are counted."""


def plan(
    method: Annotated[str | None, typer.Argument(help="as for evaluate; default: a simple baseline")] = None,
    benchmark: options.Benchmark = None,
    limit: options.Limit = None,
    device: options.Device = "auto",
    out: options.Out = Path("runs"),
    json: options.AsJson = False,
) -> None:
    """Show the units of a run, the data it needs with their size and terms, and what it costs. Runs nothing.

    Example: harness plan --benchmark confidence-fdshifts
    """
    from harness.execution.evaluate import Request, prepare

    request = Request(method=method or _any_method(benchmark), benchmark=benchmark, limit=limit, device=device, out=out)
    render_plan(prepare(request), as_json=json)


def _any_method(benchmark: str | None) -> str:
    """A simple baseline of the benchmark's kind."""
    from harness.data.catalog import find_protocol
    from harness.spec.kinds import kind_of

    return kind_of(find_protocol(benchmark).benchmark.task if benchmark else "confidence").simple_method


def render_plan(prepared: Any, *, as_json: bool) -> None:
    """Print a prepared run."""
    from rich.console import Console

    from harness.cli.output import print_json
    from harness.execution.needs import needs_of

    needs = needs_of(prepared.protocol)
    cost = prepared.track.estimate(list(prepared.plan.units.values()))
    if as_json:
        print_json(_described(prepared, needs, cost))
        return
    console = Console(highlight=False)
    _print_units(console, prepared)
    if needs.data:
        _print_data(console, needs, prepared.protocol.benchmark.id)
    _print_work(console, prepared, needs, cost)


def _seconds(prepared: Any, cold: int) -> float:
    from harness.spec.kinds import kind_of

    in_units = kind_of(prepared.method.spec.task).unit_seconds * len(prepared.plan.units)
    return float(_SECONDS_TO_START + (_SECONDS_A_SET * cold + in_units) / prepared.workers)


def _described(prepared: Any, needs: Needs, cost: Estimate | None) -> dict[str, Any]:
    from dataclasses import asdict

    work = prepared.track.workload(list(prepared.plan.units.values()))
    cold, absent = work.uncomputed, work.absent
    on_a_laptop = not absent and (cost is None or cost.hours is None)
    return {
        "run": prepared.plan.id,
        "folder": str(prepared.plan.folder),
        "spec": prepared.plan.spec.canonical(),
        "units": {key: unit.canonical() for key, unit in prepared.plan.units.items()},
        "outputs_to_compute": cold,
        "bytes_to_fetch": sum(need.bytes_missing for need in needs.data),
        "files_absent": list(absent),
        "seconds_estimated": round(_seconds(prepared, cold)) if on_a_laptop else None,
        "data": [asdict(need) for need in needs.data],
        "files_unexplained": list(needs.unexplained),
        "gpu_hours_estimated": cost.hours if cost else None,
        "gpu_hours_basis": [*cost.basis, *(f"left out: {each}" for each in cost.left_out)] if cost else [],
    }


def _print_units(console: Console, prepared: Any) -> None:
    from rich.table import Table

    units, title = prepared.plan.units, f"{prepared.method.spec.name} on {prepared.protocol.benchmark.name}"
    if len(units) > _MOST_UNITS:
        models, studies = ({getattr(unit, what) for unit in units.values()} for what in ("model", "study"))
        console.print(
            f"{title}: {len(units)} units, of {len(models)} models and {len(studies)} studies (--json lists them)"
        )
        return
    table = Table(title=title)
    for heading in ("unit", "model", "study"):
        table.add_column(heading)
    for key, unit in units.items():
        table.add_row(key[:12], unit.model, unit.study)
    console.print(table)


def _print_data(console: Console, needs: Needs, benchmark: str) -> None:
    from harness.cli.output import plain_table

    headings = ("data set", "size", "here", "access", "licence")
    table = plain_table(headings, {*headings} - {"size"}, "Data sets", overflow="fold")
    for need in needs.data:
        table.add_row(need.dataset, _size(need), _here(need), need.access, need.licence)
    console.print(table)
    for need in needs.data:
        for line in (need.terms, *(f"ask for it at {page}" for page in need.pages)):
            if line and need.access != "open":
                console.print(f"  {need.dataset}: {line}", markup=False, soft_wrap=True)
    if missing := sum(need.bytes_missing for need in needs.data):
        unsized = sum(need.unsized for need in needs.data)
        more = f", and {unsized} files of which nobody knows the size" if unsized else ""
        console.print(f"To fetch: about {_bytes(missing)}{more}.")
    if commands := _commands(needs, benchmark):
        console.print("To have them:")
        console.print(*(f"  {command}" for command in commands), sep="\n", markup=False, soft_wrap=True)
    if unlocked := [need.dataset for need in needs.data if not need.locked]:
        console.print(
            f"Of {', '.join(unlocked)} nobody has recorded what the files hold: a run on them is complete, but cannot "
            "enter a board.",
            markup=False,
            soft_wrap=True,
        )


def _commands(needs: Needs, benchmark: str) -> list[str]:
    """What fetches and prepares: preparation of a whole benchmark is one command."""
    prepare = [command for need in needs.data for command in need.prepare]
    whole = [f"harness data prepare {benchmark}"] if len(prepare) > 1 else prepare
    return [*(command for need in needs.data for command in need.fetch), *whole]


def _print_work(console: Console, prepared: Any, needs: Needs, cost: Estimate | None) -> None:
    units = prepared.plan.units
    work = prepared.track.workload(list(units.values()))
    cold, absent = work.uncomputed, work.absent
    begun = f"{len(units)} units, {prepared.workers} unit processes"
    if absent:
        console.print(f"{begun}. {len(absent)} files are not here yet:")
        shown = [
            *absent[:_MOST_FILES],
            *([f"and {len(absent) - _MOST_FILES} more"] if len(absent) > _MOST_FILES else []),
        ]
        console.print(*(f"  {name}" for name in shown), sep="\n", markup=False, soft_wrap=True)
    else:
        state = f"{cold} sets of model outputs are to be computed first" if cold else "model outputs are cached"
        console.print(f"{begun}; nothing to download; {state}.")
    if unexplained := [path for path in needs.unexplained if path in absent]:
        console.print(f"Of these, no data set says how {len(unexplained)} are made; see the benchmark's page.")
    if cost is not None and cost.hours is not None:
        from harness.tracks.costs import text_of

        console.print(f"Estimate, no more than an order of magnitude: {text_of(cost.hours)}.")
        console.print(f"  counted: {'; '.join(cost.basis)}", markup=False, soft_wrap=True)
        if cost.left_out:
            console.print(f"  left out: {', '.join(cost.left_out)}", markup=False, soft_wrap=True)
    elif not absent:
        console.print(f"About {_seconds(prepared, cold):.0f} s on a laptop, and what the method itself takes.")
    if not absent:
        console.print(f"Run folder: {prepared.plan.folder}", markup=False, soft_wrap=True)


def _size(need: Need) -> str:
    if not need.bytes:
        return "unknown"
    more = f" + {need.unsized} files" if need.unsized else ""
    return f"{'about ' if need.about else ''}{_bytes(need.bytes)}{more}"


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{max(1, round(count / 1e3))} kB"


def _here(need: Need) -> str:
    if need.prepare or not need.products:
        return f"{need.files_here} of {need.files} files"
    return "prepared"
