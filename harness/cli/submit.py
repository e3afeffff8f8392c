"""`harness submit`: a run becomes a submission, and a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.boards.pull_request import PullRequest
    from harness.boards.submit import Submitted


def submit(
    run: Annotated[str, typer.Argument(help="folder of a run, as evaluate printed it")],
    author: Annotated[list[str] | None, typer.Option(help="who made the method; may be given again")] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the licence of the method's file")] = "",
    citation: Annotated[str, typer.Option(help="what to cite, or why there is nothing to")] = "",
    training_data: Annotated[str, typer.Option(help="data the method was made with, beyond the benchmark's")] = "",
    hardware: Annotated[str, typer.Option(help="what the run was made on; default: this machine")] = "",
    open_pr: Annotated[bool, typer.Option("--open-pr", help="open the pull request too, with gh")] = False,
    maps: Annotated[
        str | None,
        typer.Option(metavar="ORG/NAME", help="upload an explainer's maps to this data set repository on the Hub"),
    ] = None,
    into: Annotated[Path | None, typer.Option(help="a clone of the repository; default: this one")] = None,
) -> None:
    """Store a complete run as a submission, if the gate lets it pass. Asks for what the options leave out.

    Maps of an explainer go into the submission up to 150 kB, larger ones with --maps onto the Hub; without
    them, its scores stay as reported until somebody reproduces them. Exit code 1 if the gate refuses it; nothing is
    stored or uploaded then.

    Example: harness submit runs/confidence-mnist-2-gap-0123456789ab --open-pr
    """
    from datetime import date
    from functools import partial

    from harness.boards import submit as boards
    from harness.boards.disclosure import disclose, found_facts
    from harness.boards.pull_request import plan_pull_request
    from harness.execution.run_result import RunResult
    from harness.publish.maps import upload_maps

    result = RunResult.open(run)
    checkout = boards.checkout_of(into)
    protocol = boards.require_submittable(result, checkout)
    method = result.document.spec.method
    planned = plan_pull_request(checkout, protocol.benchmark.name, method.name, method.version) if open_pr else None
    given = {
        "authors": ";".join(author or ()),
        "licence": licence,
        "citation": citation,
        "training_data": training_data,
        "hardware": hardware,
    }
    disclosure = disclose(given, found_facts(method.citation), _ask if _at_terminal() else None)
    repository = boards.MapsRepository(maps, partial(upload_maps, maps)) if maps else None
    submitted = boards.submit(result, protocol, disclosure, checkout, date.today(), repository)
    _print(submitted)
    if not submitted.report.accepted:
        raise typer.Exit(1)
    if planned is not None:
        _open(planned)
    else:
        typer.echo(f"Next: look at it, then the same command with --open-pr, or commit {submitted.folder} yourself.")


def _at_terminal() -> bool:
    import sys

    return sys.stdin.isatty()


def _ask(question: str, offered: str) -> str:
    answer: str = typer.prompt(question, default=offered or None, err=True)
    return answer


def _print(submitted: Submitted) -> None:
    for finding in submitted.report.findings:
        typer.echo(f"{finding.severity}: {finding.rule}: {finding.sentence}")
    if not submitted.report.accepted:
        typer.echo("Nothing was stored.", err=True)
        return
    if submitted.replaced is not None:
        typer.echo(f"It replaces version {submitted.replaced}.")
    typer.echo(f"Submission: {submitted.folder}")


def _open(planned: PullRequest) -> None:
    from harness.boards.pull_request import open_pull_request, why_by_hand

    reason = why_by_hand()
    if reason is not None:
        typer.echo(f"{reason}; open the pull request with these commands:")
        typer.echo(f"  cd {planned.checkout}")
        for command in planned.commands:
            typer.echo(f"  {command}")
        return
    for step in planned.steps:
        typer.echo(f"- {step}")
    typer.echo(open_pull_request(planned))
