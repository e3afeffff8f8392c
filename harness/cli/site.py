"""`harness site build`: leaderboards and documentation as a web site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The web site: leaderboards and documentation.\n\nExample: harness site build --out site", no_args_is_help=True
)


@app.callback()
def _group() -> None: ...


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", help="folder of the site: a new or empty one, or an earlier site")],
) -> None:
    """Write the leaderboards as they were last built, and the documentation, as pages that open from disk.

    Needs a checkout and reliabench[site]. Methods are compared pair by pair where their stored outputs can be scored:
    where data are missing for it, the page says so.

    Example: harness site build --out site
    """
    from harness.reports.site.build import build_site

    page = build_site(out, lambda text: typer.echo(text, err=True))
    typer.echo(str(page))
