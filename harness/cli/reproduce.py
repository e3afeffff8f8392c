"""`harness reproduce`: does a submitted method say the same again?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def reproduce(
    submission: Annotated[str, typer.Argument(help="folder of a submission, or benchmark@version/method")],
    tolerance: Annotated[
        float, typer.Option(help="largest difference, relative to the largest magnitude of the outputs")
    ] = 1e-4,
    out: options.Out = Path("runs"),
    device: options.Device = "auto",
    workers: options.Workers = None,
    timeout: options.Seconds = 300.0,
    memory: options.Memory = 8.0,
) -> None:
    """Run a submission's method again, in a sandbox where there is one, and compare its outputs unit by unit.

    Writes reproduction.json beside it. Exit code 0 if everything came out the same, 1 if not.

    Example: harness reproduce submissions/confidence-mnist@1/msr
    """
    from datetime import date

    from harness.boards import reproduce as boards
    from harness.cli.progress import listening
    from harness.execution.sandbox import sandbox_available

    folder = boards.find_submission(submission)
    if (reason := sandbox_available()) is not None:
        typer.echo(f"No sandbox: {reason}. The method runs in the plain worker (see SECURITY.md).", err=True)
    conditions = boards.Conditions(tolerance, out, device, workers, timeout, memory)
    with listening("running the method again") as listener:
        found = boards.reproduce(folder, conditions, listener, date.today())
    for difference in found.differences:
        typer.echo(difference)
    verdict = "came out the same" if found.same else f"differs in {len(found.differences)} places"
    typer.echo(f"{folder.name} {verdict} (tolerance {found.tolerance:g}, in {_place(found.sandbox)}).")
    raise typer.Exit(0 if found.same else 1)


def _place(sandbox: str) -> str:
    return "a bubblewrap sandbox" if sandbox == "bubblewrap" else "the plain worker"
