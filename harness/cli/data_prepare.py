"""`harness data prepare`: the files that protocols name, made from data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.prepare import ProductJob


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

    from harness.data.prepare import jobs_for, unreadable
    from harness.spec.errors import UsageError

    jobs, left = jobs_for(name, product), []
    console = Console(stderr=True, highlight=False)
    for job in jobs:
        if dry_run:
            of = f" ({', '.join(job.product.parts)})" if job.product.parts else ""
            typer.echo(f"{job.path}  from {job.manifest.spec.id}{of}")
            continue
        try:
            typer.echo(f"{'made' if _made(job, console) else 'is there'}  {job.path}")
        except UsageError as error:  # what is not fetched keeps nobody from preparing the rest
            if len(jobs) == 1:
                raise
            left.append(f"{job.product.path}: {error}")
    if left:
        raise UsageError(f"{len(left)} of {len(jobs)} could not be made:\n" + "\n".join(left))
    if problems := unreadable(name):
        raise UsageError("data sets that may offer more cannot be read:\n" + "\n".join(problems))


def _made(job: ProductJob, console: Console) -> bool:
    from harness.data.prepare import prepare
    from harness.tracks.attribution.zoo.latec import make_weights

    with console.status(job.product.path) as status:
        return prepare(job, lambda done: status.update(f"{job.product.path}: {done} samples"), make_weights)
