"""`harness data prepare`: the files that protocols name, made from data sets."""

from __future__ import annotations

from typing import Annotated

import typer


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
    from rich.status import Status

    from harness.data.prepare import prepare as make
    from harness.data.prepare import works_for

    console = Console(stderr=True, highlight=False)
    for work in works_for(name, product):
        if dry_run:
            typer.echo(f"{work.path}  from {work.manifest.spec.id} ({', '.join(work.product.parts)})")
            continue
        with console.status(work.product.path) as status:

            def tick(done: int, shown: Status = status, path: str = work.product.path) -> None:
                shown.update(f"{path}: {done} samples")

            made = make(work, tick)
        typer.echo(f"{'made' if made else 'is there'}  {work.path}")
