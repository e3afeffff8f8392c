"""`harness data build` and `harness data publish`: the meta-evaluation data set, and packs, for the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table

if TYPE_CHECKING:
    from harness.publish.hub import PublishedRevision
    from harness.publish.meta_evaluation import Built

META = "meta-evaluation"

build_app = typer.Typer(
    help="Build a data set that the harness gives back.\n\nExample: harness data build meta-evaluation --from runs/attribution-mnist-1-saliency-0123456789ab",
    no_args_is_help=True,
)
publish_app = typer.Typer(
    help="Publish a data set or a pack on the Hugging Face Hub.\n\nExample: harness data publish meta-evaluation --repo ORG/NAME",
    no_args_is_help=True,
)

Private = Annotated[bool, typer.Option("--private", help="a repository that is made is private")]
Message = Annotated[str | None, typer.Option("--message", help="of the commit")]


@build_app.command(META)
def build_meta_evaluation(
    runs: Annotated[
        list[Path] | None,
        typer.Option("--from", help="a sealed run of an attribution benchmark; may be given several times"),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="further runs")] = None,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(help="file of a benchmark of your own that runs are of; may be given several times"),
    ] = None,
    latec: Annotated[
        Path | None, typer.Option("--from-latec", help="a folder of LATEC's released maps and scores (.npz)")
    ] = None,
    order: Annotated[str | None, typer.Option(help="with --from-latec: metrics' order, published or config")] = None,
    out: Annotated[Path, typer.Option("--out", help="folder to build in")] = Path(META),
    licence: Annotated[str, typer.Option("--licence", help="as the Hub names it, such as cc-by-4.0")] = "other",
    file_megabytes: Annotated[int, typer.Option(min=1, help="size of a file before compression")] = 256,
) -> None:
    """Build the XAI meta-evaluation data set: maps and their scores, as parquet with a card. Goes on where it was left.

    Equal runs give equal files. Give it runs of several methods on the same benchmark.

    Example: harness data build meta-evaluation --from runs/attribution-mnist-1-saliency-0123456789ab --out meta
    """
    from harness.cli.progress import counter
    from harness.publish.latec_source import open_latec
    from harness.publish.meta_evaluation import RecordSource, build
    from harness.publish.run_source import open_runs
    from harness.publish.shards import ShardLimits

    sources: list[RecordSource] = [*open_runs([*(runs or []), *(more or [])], benchmark or [])]
    if latec is not None:
        sources.append(open_latec(latec, order))
    with counter("building") as progress:
        built = build(sources, out, licence=licence, limits=ShardLimits(file=file_megabytes << 20), progress=progress)
    _show_built(built)


@publish_app.command(META)
def publish_meta_evaluation(
    repo: options.Repo,
    folder: Annotated[Path, typer.Option("--dir", help="folder that `harness data build` made")] = Path(META),
    create_pr: options.CreatePr = False,
    private: Private = False,
    message: Message = None,
) -> None:
    """Publish a built meta-evaluation data set, after every file is checked. Nothing changed, no commit.

    Example: harness data publish meta-evaluation --repo ORG/NAME --create-pr
    """
    from harness.publish.hub import files_of, publish
    from harness.publish.meta_evaluation import address, open_built

    open_built(folder)
    address(folder, repo)
    said = message or "Maps and scores, built from sealed runs"
    show_published(
        publish(files_of(folder), repo, message=said, create_pr=create_pr, private=private, owned=("data/",))
    )


@publish_app.command("pack")
def publish_pack(
    folder: Annotated[Path, typer.Argument(help="folder that `harness data pack` made")],
    repo: options.Repo,
    create_pr: options.CreatePr = False,
    private: Private = False,
    message: Message = None,
) -> None:
    """Publish an inference pack as it is.

    Example: harness data publish pack confidence-mnist-pack --repo ORG/NAME
    """
    from harness.data.packs import MANIFEST
    from harness.publish.hub import files_of, publish
    from harness.spec.errors import UsageError

    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} holds no pack ({MANIFEST} is missing); make one with: harness data pack")
    said = message or f"Inference pack {folder.resolve().name}"
    show_published(publish(files_of(folder), repo, message=said, create_pr=create_pr, private=private))


def _show_built(built: Built) -> None:
    print_table(
        {"configuration": LEFT, "rows": RIGHT, "files": RIGHT, "MB": RIGHT},
        [[name, f"{size.rows:,}", str(size.files), f"{size.bytes / 1e6:.1f}"] for name, size in built.sizes.items()],
        title=str(built.folder),
        framed=True,
    )


def show_published(published: PublishedRevision) -> None:
    """Say where something lies now."""
    typer.echo(published.url)
    if not published.changed:
        typer.echo(f"nothing has changed since {published.revision}")
        return
    typer.echo(f"revision {published.revision}")
    if published.pull_request is not None:
        typer.echo(f"pull request {published.pull_request}")
