"""`harness data prepare`: the files that protocols name, made from data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.prepare import Work


def prepare(
    name: Annotated[str, typer.Argument(help="id of a data set or of a benchmark, or the path of a source.toml")],
    product: Annotated[str, typer.Option(help="only products whose path fits, such as '*-test.npz'")] = "*",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be made")] = False,
) -> None:
    """Make the files that benchmarks name out of data sets that were fetched: resized, normalised, in the right order.

    What is there and still follows from its sources is left alone, so an interrupted preparation goes on. Data sets
    must be fetched first (harness data fetch).

    Example: harness data prepare query-realistic-al --product '*cifar10-*'
    """
    from rich.console import Console

    from harness.data.prepare import works_for
    from harness.spec.errors import UsageError

    works, left = works_for(name, product), []
    console = Console(stderr=True, highlight=False)
    for work in works:
        if dry_run:
            typer.echo(f"{work.path}  from {work.manifest.spec.id} ({', '.join(work.product.parts)})")
            continue
        try:
            typer.echo(f"{'made' if _made(work, console) else 'is there'}  {work.path}")
        except UsageError as error:  # what is not fetched keeps nobody from preparing the rest
            if len(works) == 1:
                raise
            left.append(f"{work.product.path}: {error}")
    if left:
        raise UsageError(f"{len(left)} of {len(works)} could not be made:\n" + "\n".join(left))


def _made(work: Work, console: Console) -> bool:
    from harness.data.prepare import prepare

    with console.status(work.product.path) as status:
        return prepare(work, lambda done: status.update(f"{work.product.path}: {done} samples"))
