"""`harness validate`: may a submission enter a board?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.output import say_json

if TYPE_CHECKING:
    from harness.boards.gate import Report
    from harness.boards.maps import Fetch


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="folders submissions/<benchmark>@<version>/<method>")
    ] = None,
    changed_since: Annotated[
        str | None, typer.Option(metavar="REV", help="all submissions that this checkout changed since a revision")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all submissions that are there")] = False,
    fetch_maps: Annotated[
        bool, typer.Option("--fetch-maps", help="download maps that submissions keep on the Hub, and score these too")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Check submissions as the pull request will: recompute every score, run none of their code.

    Each is read in a process of its own, with limits of time and memory. With --changed-since, a change that touches a
    submission may touch nothing else; a change that touches none is not the gate's to judge, and has no findings.

    Exit code 0 where all are accepted (findings that are flagged are for a human to judge), 1 where one is refused.

    Example: harness validate submissions/confidence-mnist@2/my-score
    """
    from harness.spec.errors import UsageError

    if bool(paths) + (changed_since is not None) + everything != 1:
        raise UsageError("name the folders to validate, or use --changed-since REV, or --all: one of the three.")
    reports = []
    for report in _reports(paths, changed_since, _fetch() if fetch_maps else None):
        reports.append(report)
        if not json:
            _print(report)
    if json:
        say_json([{**each.canonical(), "accepted": each.accepted} for each in reports])
    elif not reports:
        typer.echo("no submissions to validate")
    raise typer.Exit(0 if all(report.accepted for report in reports) else 1)


def _fetch() -> Fetch:
    from harness.publish.maps import fetch_maps

    return fetch_maps


def _reports(paths: list[Path] | None, changed_since: str | None, fetch: Fetch | None) -> Iterator[Report]:
    from harness.boards.gate import validate_all, validate_bounded, validate_changed
    from harness.boards.gate.revision import checkout_of
    from harness.boards.submissions import ABOUT
    from harness.execution.run_files import SEALED
    from harness.spec.errors import UsageError

    if changed_since is not None:
        yield from validate_changed(checkout_of(Path()), changed_since, fetch)
    elif not paths:
        yield from validate_all(fetch)
    else:
        for path in paths:
            if not path.exists():
                raise UsageError(f"{path} does not exist; name a folder submissions/<benchmark>@<version>/<method>.")
            if (path / SEALED).is_file() and not (path / ABOUT).exists():
                raise UsageError(f"{path} is a run and no submission; harness submit {path} makes one of it.")
            inside = sorted(each.parent for each in (*path.glob(f"*/{ABOUT}"), *path.glob(f"*/*/{ABOUT}")))
            if inside and not (path / ABOUT).exists():
                raise UsageError(f"{path} holds submissions and is none; name one, such as {inside[0]}, or use --all.")
        yield from (validate_bounded(path, fetch=fetch) for path in paths)


def _print(report: Report) -> None:
    for finding in report.findings:
        typer.echo(f"{report.folder}: {finding.severity}: {finding.rule}: {finding.sentence}")
    if report.accepted:
        reported = f"; as reported until reproduced: {', '.join(report.as_reported)}" if report.as_reported else ""
        typer.echo(f"{report.folder}: accepted{reported}")
