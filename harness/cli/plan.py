"""`harness plan`: what a run would do, and what it would need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table, say, say_json

if TYPE_CHECKING:
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
    seed: options.Seed = 0,
    threads: options.Threads = 1,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
    fence: options.Fence = "auto",
    allow_read: options.AllowRead = None,
    retries: options.Retries = 2,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="hours and memory, from the journals of past runs under --out")
    ] = False,
    array: Annotated[
        str | None,
        typer.Option(help="slurm or lsf: check the method, then write a script whose jobs run one unit each"),
    ] = None,
    json: options.AsJson = False,
) -> None:
    """Show the units of a run, the data it needs with their size and terms, and what it costs. Runs none of them.

    With --array the folder of runs, --out, must lie where all machines see it. Submit the script as it is, or with more
    of the batch system's own options; `harness status` tells how the jobs get on, and `harness gather` seals the run.

    Example: harness plan --benchmark confidence-fdshifts

    Example: harness plan my_method.py --benchmark query-nnactive --array slurm --out /shared/runs
    """
    from harness.execution.evaluate import Request, prepare
    from harness.spec.errors import UsageError

    if estimate and array is not None:
        raise UsageError(
            "--estimate only tells hours and memory, --array writes a script: ask for one after the other."
        )
    request = Request(
        method=method or _any_method(benchmark),
        benchmark=benchmark,
        out=out,
        limit=limit,
        seed=seed,
        device=device,
        threads=threads,
        timeout=timeout,
        memory=memory,
        fence=fence,
        allow_read=tuple(allow_read or ()),
        retries=retries,
    )
    prepared = prepare(request, elsewhere=array is not None)
    if array is not None:
        _write_array(prepared, array, retries, as_json=json)
    elif estimate:
        _print_expected(prepared, as_json=json)
    else:
        render_plan(prepared, as_json=json)


def _write_array(prepared: Any, system: str, retries: int, *, as_json: bool) -> None:
    from shlex import quote

    from harness.cli.progress import run_bar
    from harness.execution.array import SUBMIT, known_system, write_array
    from harness.execution.evaluate import admit
    from harness.execution.job import refuse_odd_path
    from harness.spec.errors import UsageError

    known_system(system)
    refuse_odd_path(prepared.plan.folder)
    with run_bar("checking the method", quiet=as_json) as bar:
        failed = admit(prepared, bar.listener)
    if failed is not None:
        raise UsageError(f"the method fails its check: {failed.problem}; nothing was written.")
    made, folder = write_array(prepared, system, retries), prepared.plan.folder
    submit = SUBMIT[system].format(quote(str(made.script))) if made.script else None
    if as_json:
        facts = {
            "folder": str(folder),
            "units": str(made.units) if made.units else None,
            "jobs": made.jobs,
            "units_of_a_job": made.each,
        }
        say_json({**facts, "script": str(made.script) if made.script else None, "submit": submit})
        return
    if submit is None:
        say(f"No unit is left to be run.\n  harness gather {quote(str(folder))}")
        return
    say(f"{made.jobs} jobs of {made.each} unit{'s' if made.each > 1 else ''}: {made.script}")
    follow = (f"harness {verb} {quote(str(folder))}" for verb in ("status", "gather"))
    say("\n  ".join(["Submit it, look, and seal:", submit, *follow]))


def _print_expected(prepared: Any, *, as_json: bool) -> None:
    """What past journals, or declared costs, say of the run; and where nothing is known."""
    from dataclasses import asdict

    from harness.execution.past import expected

    _check_files(prepared)
    found = expected(prepared.plan)
    declared = prepared.track.estimate(list(prepared.plan.units.values()))
    if as_json:
        say_json({**asdict(found), "workers": prepared.workers, "gpu_hours_declared": declared and declared.hours})
        return
    if found.known:
        of = "of this method" if found.same_method else "of other methods"
        hours = found.hours / prepared.workers
        by_cost = f"; {found.by_cost} of them by processor seconds, no others were journaled" if found.by_cost else ""
        say(
            f"From {found.journals} past run{'s' if found.journals > 1 else ''} {of}, for {found.known} units{by_cost}:"
        )
        say(f"  {found.hours:.3g} hours of one worker; with {prepared.workers} about {hours:.3g}.")
        most = "memory: not recorded" if found.memory is None else f"at most {found.memory:.3g} GiB for a unit"
        say(f"  {most}.")
    if found.unknown:
        say(f"Nothing is known of {found.unknown} of {len(prepared.plan.units)} units: no past run has them.")
    if declared is not None and declared.hours is not None:
        _print_cost(declared, declared.hours)


def _any_method(benchmark: str | None) -> str:
    """A simple baseline of the benchmark's kind; of results alone the one that reads them."""
    from harness.data.catalog import find_protocol
    from harness.spec.kinds import kind_of
    from harness.spec.sources import ResultsSource

    if benchmark is None:
        return kind_of("confidence").simple_method
    found = find_protocol(benchmark).benchmark
    return "head-confidence" if isinstance(found.source, ResultsSource) else kind_of(found.task).simple_method


def render_plan(prepared: Any, *, as_json: bool) -> None:
    """Print a prepared run. Raises UsageError where the method cannot be applied in any unit, or files are not what the
    benchmark says."""
    from harness.execution.applicability import refuse_where_none_applies
    from harness.execution.evaluate import inapplicable
    from harness.execution.needs import needs_of

    _check_files(prepared)
    needs, reasons = needs_of(prepared.protocol), inapplicable(prepared)
    refuse_where_none_applies(prepared.track, prepared.plan, reasons)
    cost = prepared.track.estimate([unit for key, unit in prepared.plan.units.items() if key not in reasons])
    if as_json:
        say_json(_described(prepared, needs, cost) | {"units_inapplicable": reasons})
        return
    _print_units(prepared)
    _print_left_out(prepared, reasons)
    if needs.data:
        _print_data(needs, prepared.protocol.benchmark.id)
    _print_work(prepared, needs, cost)


def _check_files(prepared: Any) -> None:
    """What `evaluate` would refuse before it runs anything is refused here; files that are not here yet are listed."""
    if not prepared.track.workload(list(prepared.plan.units.values())).absent:
        prepared.track.check_own_files()


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


def _print_units(prepared: Any) -> None:
    units, title = prepared.plan.units, f"{prepared.method.spec.name} on {prepared.protocol.benchmark.name}"
    if len(units) > _MOST_UNITS:
        models, studies = ({getattr(unit, what) for unit in units.values()} for what in ("model", "study"))
        say(f"{title}: {len(units)} units, of {len(models)} models and {len(studies)} studies (--json lists them)")
        return
    rows = [[key[:12], unit.model, unit.study] for key, unit in units.items()]
    print_table({"unit": LEFT, "model": LEFT, "study": LEFT}, rows, title=title, framed=True)


def _print_left_out(prepared: Any, reasons: dict[str, str]) -> None:
    """Units that do not apply by reason, and studies that are not asked."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        by_reason.setdefault(reason, []).append(prepared.plan.units[key].study)
    for reason, studies in by_reason.items():
        names = ", ".join(dict.fromkeys(studies))
        say(f"{len(studies)} of these units will end as not applicable and cost nothing: {reason} ({names}).")
    if unasked := prepared.track.unasked():
        say(f"{unasked}.")


def _print_data(needs: Needs, benchmark: str) -> None:
    sides = {"data set": LEFT, "size": RIGHT, "here": LEFT, "access": LEFT, "licence": LEFT}
    print_table(
        {heading: {**side, "overflow": "fold"} for heading, side in sides.items()},
        [[need.dataset, _size(need), _here(need), need.access, need.licence] for need in needs.data],
        title="Data sets",
    )
    for need in needs.data:
        for line in (need.terms, *(f"ask for it at {page}" for page in need.pages)):
            if line and need.access != "open":
                say(f"  {need.dataset}: {line}")
    if missing := sum(need.bytes_missing for need in needs.data):
        unsized = sum(need.unsized for need in needs.data)
        more = f", and {unsized} files of which nobody knows the size" if unsized else ""
        say(f"To fetch: about {_bytes(missing)}{more}.")
    if commands := _commands(needs, benchmark):
        say("\n  ".join(["To have them:", *commands]))
    if unlocked := [need.dataset for need in needs.data if not need.locked]:
        say(
            f"Of {', '.join(unlocked)} nobody has recorded what the files hold: a run on them is complete, but cannot "
            "enter a board."
        )


def _commands(needs: Needs, benchmark: str) -> list[str]:
    """What fetches and prepares: preparation of a whole benchmark is one command."""
    prepare = [command for need in needs.data for command in need.prepare]
    whole = [f"harness data prepare {benchmark}"] if len(prepare) > 1 else prepare
    return [*(command for need in needs.data for command in need.fetch), *whole]


def _print_work(prepared: Any, needs: Needs, cost: Estimate | None) -> None:
    units = prepared.plan.units
    work = prepared.track.workload(list(units.values()))
    cold, absent = work.uncomputed, work.absent
    begun = f"{len(units)} units, {prepared.workers} unit processes"
    if absent:
        more = [f"and {len(absent) - _MOST_FILES} more"] if len(absent) > _MOST_FILES else []
        say("\n  ".join([f"{begun}. {len(absent)} files are not here yet:", *absent[:_MOST_FILES], *more]))
    else:
        state = f"{cold} sets of model outputs are to be computed first" if cold else "model outputs are cached"
        say(f"{begun}; nothing to download; {state}.")
    if unexplained := [path for path in needs.unexplained if path in absent]:
        say(f"Of these, no data set says how {len(unexplained)} are made; see the benchmark's page.")
    if cost is not None and cost.hours is not None:
        _print_cost(cost, cost.hours)
    elif not absent:
        say(f"About {_seconds(prepared, cold):.0f} s on a laptop, and what the method itself takes.")
    if not absent:
        say(f"Run folder: {prepared.plan.folder}")


def _print_cost(cost: Estimate, hours: float) -> None:
    from harness.tracks.costs import text_of

    say(f"Estimate, no more than an order of magnitude: {text_of(hours)}.")
    say(f"  counted: {'; '.join(cost.basis)}")
    if cost.left_out:
        say(f"  left out: {', '.join(cost.left_out)}")


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
