"""`harness plan`: what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from harness.cli import options

# Measured on two laptop-class cores with the embedded benchmark: a rough guide, not a promise.
_SECONDS_TO_START, _SECONDS_A_SET = 4.0, 0.6


def plan(
    method: Annotated[Optional[str], typer.Argument(help="as for evaluate; default: a simple baseline")] = None,  # noqa: UP045
    benchmark: options.Benchmark = None,
    limit: options.Limit = None,
    device: options.Device = "auto",
    out: options.Out = Path("runs"),
    json: options.AsJson = False,
) -> None:
    """Show the units of a run, what must be computed first, and where the run would lie. Runs nothing.

    Example: harness plan --benchmark confidence-mnist
    """
    from harness.execution.evaluate import Request, prepare

    request = Request(method=method or _any_method(benchmark), benchmark=benchmark, limit=limit, device=device, out=out)
    render_plan(prepare(request), as_json=json)


def _any_method(benchmark: str | None) -> str:
    """A simple baseline of the benchmark's kind."""
    from harness.data.catalog import find_protocol
    from harness.tracks.registry import KINDS

    return KINDS[find_protocol(benchmark).benchmark.task if benchmark else "confidence"].simple_method


def render_plan(prepared: Any, *, as_json: bool) -> None:
    """Print a prepared run."""
    import json

    from rich.console import Console
    from rich.table import Table

    from harness.tracks.registry import KINDS

    units = prepared.plan.units
    cold, absent = prepared.track.uncomputed(), prepared.track.absent()
    in_units = KINDS[prepared.method.spec.task].unit_seconds * len(units)
    seconds = _SECONDS_TO_START + (_SECONDS_A_SET * cold + in_units) / prepared.workers
    if as_json:
        shown = {
            "run": prepared.plan.id,
            "folder": str(prepared.plan.folder),
            "spec": prepared.plan.spec.canonical(),
            "units": {key: unit.canonical() for key, unit in units.items()},
            "outputs_to_compute": cold,
            "bytes_to_fetch": 0,
            "files_absent": list(absent),
            "seconds_estimated": None if absent else round(seconds),
        }
        print(json.dumps(shown, indent=2))
        return
    console = Console(highlight=False)
    table = Table(title=f"{prepared.method.spec.name} on {prepared.protocol.benchmark.name}")
    for heading in ("unit", "model", "study"):
        table.add_column(heading)
    for key, unit in units.items():
        table.add_row(key[:12], unit.model, unit.study)
    console.print(table)
    if absent:
        console.print(f"{len(units)} units, {prepared.workers} unit processes. {len(absent)} files are not here yet:")
        console.print(*(f"  {name}" for name in absent), sep="\n", markup=False)
        return
    state = f"{cold} sets of model outputs are to be computed first" if cold else "model outputs are cached"
    console.print(f"{len(units)} units, {prepared.workers} unit processes; nothing to download; {state}.")
    console.print(f"About {seconds:.0f} s on a laptop, and what the method itself takes.")
    console.print(f"Run folder: {prepared.plan.folder}", markup=False, soft_wrap=True)
