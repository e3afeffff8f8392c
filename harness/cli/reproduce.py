"""`harness reproduce`: does a submitted method say the same again?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.boards.reproduce import Outcome
    from harness.spec.submission import Place, Reproduction


def reproduce(
    submissions: Annotated[
        list[str],
        typer.Argument(
            help="folders of submissions, benchmark@version/method, or benchmark@version for all of its rows"
        ),
    ],
    again: Annotated[bool, typer.Option("--again", help="also those whose record is of their present state")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="largest difference, relative to the magnitude of each number; default: what the track allows "
            "it, 1e-4 for confidences and maps, 1e-3 for their scores, ten times as much for stochastic explainers"
        ),
    ] = None,
    out: options.Out = Path("runs"),
    device: options.Device = "auto",
    workers: options.Workers = None,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
) -> None:
    """Run methods of submissions again, in a sandbox where there is one, and compare their outputs unit by unit.

    Writes a record of each beside its board, leaderboards/<benchmark>/<version>/reproductions/<method>.json, which
    maintainers commit: it is how a row earns its rank. Rows run one after the other; what is cut off goes on with the
    first row that has no record. Exit code 0 if everything came out the same, 1 if not.

    Example: harness reproduce submissions/confidence-mnist@2/msr

    Example: harness reproduce confidence-mnist@2
    """
    from datetime import date

    from harness.boards import reproduce as boards
    from harness.cli.progress import run_bar
    from harness.execution.fence import choose
    from harness.execution.sandbox import sandbox_available

    folders = boards.find_submissions(submissions)
    if (reason := sandbox_available()) is not None:
        place = _place("landlock" if choose("auto") == "landlock" else "worker")
        typer.echo(f"No sandbox: {reason}. The method runs {place} (see SECURITY.md).", err=True)
    conditions = boards.Conditions(tolerance, out, device, workers, timeout, memory)
    ended: list[Outcome] = []
    for folder in folders:
        with run_bar(f"running {folder.name} again") as bar:
            ended += boards.reproduce_all([folder], conditions, bar.listener, date.today(), again=again)
        _say(ended[-1])
    if len(ended) > 1:
        _print_table(ended)
    raise typer.Exit(0 if all(each.same for each in ended) else 1)


def _say(outcome: Outcome) -> None:
    """What differs, and the verdict."""
    record = outcome.record
    if record is None:
        typer.echo(f"{outcome.name} cannot be run again: {outcome.problem}")
        return
    for difference in record.differences:
        typer.echo(difference)
    if record.differing > len(record.differences):
        typer.echo(f"… and {record.differing - len(record.differences)} more.")
    verdict = "came out the same" if record.same else f"differs in {record.differing} places"
    stands = f"; so says its record of {record.on}, and --again runs it again" if outcome.stands else ""
    typer.echo(f"{outcome.name} {verdict} ({_closest(record)}{_place(record.sandbox)}{stands}).")
    for clause in record.counted:
        typer.echo(f"{outcome.name} ran {clause}.")


def _print_table(outcomes: list[Outcome]) -> None:
    """A line for each submission: what came of it, what came closest to its limit, and what it took."""
    from rich.markup import escape

    from harness.cli.output import LEFT, RIGHT, print_table

    rows = []
    for each in outcomes:
        if each.record is None:
            rows.append([escape(each.name), "[red]cannot be run[/]", "–", "–"])
            continue
        came = "the same" if each.record.same else f"[red]differs in {each.record.differing} places[/]"
        came += f", as of {each.record.on}" if each.stands else ""
        rows.append([escape(each.name), came, escape(_largest(each.record)), f"{each.record.cost.seconds:,.0f}"])
    columns = {"method": LEFT, "came out": LEFT, "largest difference (allowed)": LEFT, "seconds": RIGHT}
    print_table(columns, rows)


def _closest(found: Reproduction) -> str:
    """`score.lle by at most 2e-05, where 0.001 is allowed, `; nothing of integers alone."""
    if (closest := _closest_output(found)) is None:
        return ""
    name, difference, allowed = closest
    forked = sum(each.forked for each in found.tolerances.values())
    aside = f" but of {forked} values that nearly equal pixels decide" if forked else ""
    return f"{name} by at most {difference:.2g}, where {allowed:g} is allowed{aside}, "


def _largest(found: Reproduction) -> str:
    """`score.lle 2e-05 (0.001)`; a dash for integers alone."""
    closest = _closest_output(found)
    return "–" if closest is None else f"{closest[0]} {closest[1]:.2g} ({closest[2]:g})"


def _closest_output(found: Reproduction) -> tuple[str, float, float] | None:
    """The output that came closest to its limit, by how much it differed, and the limit; None of integers alone."""
    known = [(name, each.found, each.allowed) for name, each in found.tolerances.items() if each.found is not None]
    return max(known, key=lambda each: each[1] / (each[2] or 1.0), default=None)


def _place(sandbox: Place) -> str:
    return {
        "bubblewrap": "in a bubblewrap sandbox",
        "landlock": "behind a Landlock fence",
        "worker": "in the plain worker",
    }[sandbox]
