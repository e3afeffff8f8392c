"""`harness board`: leaderboards, built from submissions alone."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.boards.local import LocalBoard
    from harness.data.catalog import LoadedBenchmark
    from harness.spec.board import Board

app = typer.Typer(
    help="Build, check, compare and export leaderboards.\n\nExample: harness board show confidence-mnist@2",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="id@version")]
NameOrNone = Annotated[str | None, typer.Argument(help="id@version")]
OwnName = Annotated[str, typer.Argument(help="id@version, or path.toml of your own")]
Runs = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="a board of the runs in this folder, beside the official rows if there are any; nothing official changes. "
        "Default for a benchmark of your own: runs",
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="every bundled benchmark that has a board, or something to put on one")
]


@app.command()
def build(
    benchmark: Annotated[str | None, typer.Argument(help="id@version, or path.toml of your own")] = None,
    all: All = False,
    runs: Runs = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="where a board of runs goes; default: <id>-<version>-board in their folder"),
    ] = None,
    workers: options.Workers = None,
    show: Annotated[bool, typer.Option("--open", help="open the page of a board of runs in the browser")] = False,
) -> None:
    """Score all submissions and rank those that have earned it; write board.json, .csv and .md, and what changed into CHANGES.md.

    Boards of query benchmarks get the picture curves.svg as well. With --runs, or for a benchmark of your own, the rows
    are your runs beside rows of all tiers, all of them ranked, and board.html is a page of them that opens from disk.

    Example: harness board build confidence-mnist@2

    Example: harness board build my.toml --runs runs --open

    Example: harness board build confidence-mnist@2 --runs runs --out my-board
    """
    from harness.boards.build import write_board
    from harness.cli.render import print_board
    from harness.spec.errors import UsageError

    protocols = _chosen(benchmark, all)
    if runs is not None or not (all or protocols[0].bundled):
        if all:
            raise UsageError("--runs makes the board of one benchmark; name it in place of --all.")
        _build_local(protocols[0], runs, out, workers, show=show)
        return
    if out is not None or show:
        raise UsageError("--out and --open are for boards of runs; name their folder with --runs.")
    for protocol in protocols:
        board = _built(protocol, workers)
        paths = [*write_board(board, protocol), *_write_picture(protocol)]
        if not all:
            print_board(board, protocol.benchmark)
        for path in paths:
            typer.echo(path)


@app.command()
def check(benchmark: NameOrNone = None, all: All = False, workers: options.Workers = None) -> None:
    """Refuse boards that are not what their submissions give, and released benchmarks that were edited.

    Exit code 1 with a sentence for each; 0 if all is as it should be.

    Example: harness board check --all
    """
    from harness.boards.build import board_drift
    from harness.boards.frozen import frozen_problems

    protocols = [_official(each, benchmark) for each in _chosen(benchmark, all)]
    problems = list(frozen_problems(None if all else protocols[0].benchmark.name))
    for protocol in protocols:
        drift = board_drift(_built(protocol, workers), protocol)
        problems += [drift] if drift else []
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(protocols)} board{'s' * (len(protocols) != 1)} as built, released versions unchanged.")


@app.command()
def diff(revision: Annotated[str, typer.Argument(help="commit, branch or tag")], benchmark: NameOrNone = None) -> None:
    """Say who moved, came and went on the boards since a revision, and why.

    Example: harness board diff origin/main
    """
    from harness.boards.build import boards_to_keep, read_board
    from harness.boards.diff import board_at, changes_section
    from harness.data.catalog import find_protocol

    protocols = [_official(find_protocol(benchmark), benchmark)] if benchmark else boards_to_keep()
    for protocol in protocols:
        old = board_at(revision, protocol)
        lines = changes_section(old, read_board(protocol)).splitlines()[1:]
        typer.echo(f"{protocol.benchmark.name}: {'no row changed.' if not lines else ''}".rstrip())
        for line in lines:
            typer.echo(f"  {line}")


@app.command()
def lock(benchmark: Name) -> None:
    """Freeze a released version: its file may never change again. For maintainers of a benchmark.

    Example: harness board lock confidence-mnist@2
    """
    from harness.boards.frozen import lock_path, lock_version
    from harness.data.catalog import find_protocol

    if benchmark.endswith(".toml"):
        _official(find_protocol(benchmark), benchmark)
    added = lock_version(benchmark)
    typer.echo(f"{benchmark} is locked {'now' if added else 'already'} ({lock_path()}).")


@app.command()
def export(
    benchmark: OwnName,
    format: Annotated[str, typer.Option(help="json, csv, markdown, latex, parquet or bibtex")] = "csv",
    out: Annotated[Path | None, typer.Option(help="file to write; default: print it")] = None,
    runs: Runs = None,
) -> None:
    """Give the board as it was last built to a paper or another program; a board of runs as it is now.

    Example: harness board export confidence-mnist@2 --format latex --out table.tex

    Example: harness board export my.toml --runs runs --format latex
    """
    from harness.boards.build import read_board
    from harness.boards.exports import export_board
    from harness.data.catalog import find_protocol
    from harness.spec.errors import UsageError
    from harness.storage import write_bytes

    protocol = find_protocol(benchmark)
    if runs is not None or not protocol.bundled:
        local = _local(protocol, runs, None)
        checkout = Path(os.path.relpath(local.runs, out.parent if out else Path())).as_posix()
        data = export_board(local.board, protocol, format, citations=local.citations, checkout=checkout)
    else:
        data = export_board(read_board(protocol), protocol, format)
    if out is not None:
        if not out.parent.is_dir():
            raise UsageError(f"the folder {out.parent} does not exist; make it, or name another file.")
        write_bytes(out, data)
        typer.echo(str(out))
    elif format == "parquet":
        raise UsageError("parquet is not text; add --out FILE.")
    else:
        typer.echo(data.decode(), nl=False)


@app.command()
def show(
    benchmark: OwnName,
    json: options.AsJson = False,
    all_tiers: Annotated[
        bool,
        typer.Option(
            "--all-tiers", help="rank also what is not reproduced, scored now; boards of runs do so without it"
        ),
    ] = False,
    runs: Runs = None,
) -> None:
    """Show the board as it was last built; a board of runs as it is now.

    Example: harness board show confidence-mnist@2

    Example: harness board show confidence-mnist@2 --all-tiers

    Example: harness board show my.toml --runs runs
    """
    from harness.boards.build import read_board
    from harness.boards.render import board_json
    from harness.cli.render import print_board
    from harness.data.catalog import find_protocol

    protocol = find_protocol(benchmark)
    if runs is not None or not protocol.bundled:
        board = _local(protocol, runs, None).board
    else:
        board = _built(protocol, None, all_tiers=True) if all_tiers else read_board(protocol)
    if json:
        typer.echo(board_json(board), nl=False)
    else:
        print_board(board, protocol.benchmark)


@app.command()
def publish(
    repo: options.Repo,
    benchmark: NameOrNone = None,
    all: All = False,
    create_pr: options.CreatePr = False,
) -> None:
    """Publish boards and submissions on the Hugging Face Hub, as tables with a card. Nothing changed, no commit.

    The repository then holds the chosen boards and no others.

    Example: harness board publish --all --repo ORG/NAME
    """
    from harness.cli.data_publish import show_published
    from harness.publish.boards import write_boards
    from harness.publish.hub import files_of
    from harness.publish.hub import publish as publish_files

    protocols = [_official(each, benchmark) for each in _chosen(benchmark, all)]
    with TemporaryDirectory(prefix="harness-boards-") as folder:
        write_boards(protocols, Path(folder))
        names = ", ".join(protocol.benchmark.name for protocol in protocols)
        made = publish_files(
            files_of(Path(folder)), repo, message=f"Boards of {names}", create_pr=create_pr, owned=("data/",)
        )
    show_published(made)


@app.command()
def baselines(
    benchmark: Name,
    names: Annotated[list[str] | None, typer.Argument(help="baselines; default: all of the benchmark's kind")] = None,
    out: options.Out = Path("runs"),
) -> None:
    """Run baselines and store them as submissions. For maintainers of a benchmark.

    Example: harness board baselines attribution-mnist@1 saliency grad-cam
    """
    from harness.boards.baselines import submit_baselines
    from harness.cli.progress import run_bar
    from harness.data.catalog import find_protocol

    protocol = _official(find_protocol(benchmark), benchmark)
    with run_bar("running baselines") as bar:
        for name, where in submit_baselines(protocol, out, bar.listener, names or None):
            typer.echo(f"{name}: {where}")


def _official(protocol: LoadedBenchmark, named: str | None) -> LoadedBenchmark:
    """The benchmark, if it is one of the harness's own. Raises UsageError for one of the user's."""
    from harness.spec.errors import UsageError

    if protocol.bundled:
        return protocol
    raise UsageError(
        f"{named} is a benchmark of your own, which has no official board; one of your runs: "
        f"harness board build {named} --runs runs"
    )


def _chosen(benchmark: str | None, every: bool) -> list[LoadedBenchmark]:
    from harness.boards.build import boards_to_keep
    from harness.data.catalog import find_protocol
    from harness.spec.errors import UsageError

    if (benchmark is None) != every:
        raise UsageError("name one benchmark (id@version), or give --all.")
    return list(boards_to_keep()) if benchmark is None else [find_protocol(benchmark)]


def _built(protocol: LoadedBenchmark, workers: int | None, *, all_tiers: bool = False) -> Board:
    """Raises UsageError where data are missing that its rows are scored with: the board would lose them."""
    from harness.boards.build import build_board
    from harness.boards.submissions import submission_folders, submissions_folder
    from harness.cli.progress import run_bar
    from harness.execution.needs import require_data

    if submission_folders(submissions_folder(protocol.benchmark.name)):
        require_data(protocol)
    with run_bar(f"scoring {protocol.benchmark.name}") as bar:
        return build_board(protocol, bar.scoring_board, workers, all_tiers=all_tiers)


def _local(protocol: LoadedBenchmark, runs: Path | None, workers: int | None) -> LocalBoard:
    """The board of runs as it is now, by default of those in the folder that `harness evaluate` keeps them in."""
    from harness.boards.local import RUNS, local_board
    from harness.cli.progress import run_bar
    from harness.execution.needs import require_data

    protocol.refuse_withdrawn()
    require_data(protocol)
    with run_bar(f"scoring {protocol.benchmark.name}") as bar:
        return local_board(protocol, runs or RUNS, bar.scoring_board, workers)


def _build_local(
    protocol: LoadedBenchmark, runs: Path | None, out: Path | None, workers: int | None, *, show: bool
) -> None:
    from harness.cli.render import print_board
    from harness.reports.local_board import write_local_board

    local, benchmark = _local(protocol, runs, workers), protocol.benchmark
    paths = write_local_board(local, protocol, out or local.runs / f"{benchmark.id}-{benchmark.version}-board")
    print_board(local.board, benchmark)
    if local.others:
        typer.echo(f"{local.runs} holds {local.others} more of other benchmarks.")
    for path in paths:
        typer.echo(path)
    if show:
        import webbrowser

        webbrowser.open(Path(paths[0]).resolve().as_uri())


def _write_picture(protocol: LoadedBenchmark) -> list[str]:
    """The picture of a board; none for kinds without one, and while there is nothing to draw."""
    from harness.boards.build import read_standings
    from harness.boards.entries import leaderboard_of
    from harness.storage import write_text

    picture = leaderboard_of(protocol).picture(read_standings(protocol).entries)
    if picture is None:
        return []
    name, svg = picture
    write_text(protocol.path.parent / name, svg)
    return [str(protocol.path.parent / name)]
