"""`harness reproduce`: does a submitted method say the same again?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.spec.submission import Place, Reproduction


def reproduce(
    submission: Annotated[str, typer.Argument(help="folder of a submission, or benchmark@version/method")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="largest difference, relative to the largest magnitude of each output; default: what the track allows "
            "it, 1e-4 for confidences and maps, 1e-3 for their scores, ten times as much for stochastic explainers"
        ),
    ] = None,
    out: options.Out = Path("runs"),
    device: options.Device = "auto",
    workers: options.Workers = None,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
) -> None:
    """Run a submission's method again, in a sandbox where there is one, and compare its outputs unit by unit.

    Writes a record beside the board, leaderboards/<benchmark>/<version>/reproductions/<method>.json, which maintainers
    commit. Exit code 0 if everything came out the same, 1 if not.

    Example: harness reproduce submissions/confidence-mnist@2/msr
    """
    from datetime import date

    from harness.boards import reproduce as boards
    from harness.cli.progress import run_bar
    from harness.execution.fence import choose
    from harness.execution.sandbox import sandbox_available

    folder = boards.find_submission(submission)
    if (reason := sandbox_available()) is not None:
        place = _place("landlock" if choose("auto") == "landlock" else "worker")
        typer.echo(f"No sandbox: {reason}. The method runs {place} (see SECURITY.md).", err=True)
    conditions = boards.Conditions(tolerance, out, device, workers, timeout, memory)
    with run_bar("running the method again") as bar:
        found = boards.reproduce(folder, conditions, bar.listener, date.today())
    for difference in found.differences:
        typer.echo(difference)
    verdict = "came out the same" if found.same else f"differs in {len(found.differences)} places"
    typer.echo(f"{folder.name} {verdict} ({_closest(found)}{_place(found.sandbox)}).")
    raise typer.Exit(0 if found.same else 1)


def _closest(found: Reproduction) -> str:
    """`score.lle by 2e-05 of 0.001 allowed, `: the output that came closest to its limit; nothing of integers alone."""
    known = {name: each for name, each in found.tolerances.items() if each.found is not None}
    if not known:
        return ""
    name, each = max(known.items(), key=lambda item: (item[1].found or 0.0) / (item[1].allowed or 1.0))
    return f"{name} by at most {each.found:.2g}, where {each.allowed:g} is allowed, "


def _place(sandbox: Place) -> str:
    return {
        "bubblewrap": "in a bubblewrap sandbox",
        "landlock": "behind a Landlock fence",
        "worker": "in the plain worker",
    }[sandbox]
