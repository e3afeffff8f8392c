"""`harness cite`: what a paper that uses a result must cite."""

from __future__ import annotations

from typing import Annotated

import typer


def cite(
    target: Annotated[
        str, typer.Argument(help="folder of a run or submission, benchmark@version/method, or a benchmark")
    ],
) -> None:
    """Print BibTeX for the benchmark, its data sets and metrics, and the method.

    Example: harness cite confidence-mnist@2 > references.bib
    """
    from harness.boards.cite import cite as collected

    typer.echo(collected(target), nl=False)
