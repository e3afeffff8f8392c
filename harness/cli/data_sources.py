"""`harness data list|fetch|verify|where|prune|lock`: data sets, their files, and the cache in which they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.output import print_table, say_json
from harness.spec.errors import UsageError

if TYPE_CHECKING:
    from harness.data.manifests import Manifest

Name = Annotated[str, typer.Argument(help="id of a data set, or the path of a source.toml of your own")]
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="ids of data sets, or paths of a source.toml of your own")
]
NameOrNone = Annotated[str | None, typer.Argument(help="id of a data set")]
Pattern = Annotated[
    str | None, typer.Option("--file", help="only files whose path fits this pattern, such as 'train*'")
]
Source = Annotated[
    Path | None,
    typer.Option("--from", help="a folder, below which you have the files (or the file); they are used where they lie"),
]
MaxBytes = Annotated[
    int | None,
    typer.Option("--max-bytes", min=1, help="the most that may come of one file whose exact size is not recorded"),
]
Config = Annotated[
    list[str] | None, typer.Option(help="of meta-evaluation: a configuration; may be given several times; default: all")
]
Repo = Annotated[str | None, typer.Option(help="of meta-evaluation: its repository on the Hub, ORG/NAME")]
Revision = Annotated[str | None, typer.Option(help="of meta-evaluation: branch, commit or refs/pr/N")]
META = "meta-evaluation"
_UNREADABLE, _DAMAGED = 2, 3


def list_datasets(json: options.AsJson = False) -> None:
    """List data sets: size, how many files are locked, what access they need, and what is here.

    Locked files are pinned by their sha256. Where only an md5 is public, that pins a file until the first fetch that
    matches it has recorded the sha256, which ranks ask for.

    Exit code 2 if one cannot be read, which is then listed with what is wrong.

    Example: harness data list
    """
    from harness.data.manifests import read_datasets

    found, problems = read_datasets()
    rows = [_row(manifest) for manifest in found.values()]
    if json:
        named = {row["id"]: row for row in rows}
        say_json([named.get(name, {"id": name}) | _error(problems, name) for name in {**named, **problems}])
    else:
        _show(rows)
        typer.echo(_locks(list(found.values())))
        for name, problem in problems.items():
            typer.echo(f"{name}: {problem}")
    if problems:
        raise typer.Exit(_UNREADABLE)


def _error(problems: dict[str, str], name: str) -> dict[str, str]:
    return {"error": problems[name]} if name in problems else {}


def _locks(manifests: list[Manifest]) -> str:
    by = [manifest.locked_by for manifest in manifests]
    return (
        f"{len(by) - by.count(None)} of {len(by)} data sets are fully locked: {by.count('sha256')} by sha256, "
        f"{by.count('md5')} by md5 until they are fetched."
    )


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    lines, headings = [_line(row) for row in rows], ("id", "title", "size", "locked", "access", "here")
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    widths[1] = max(16, Console().width - sum(widths) + widths[1] - 2 * len(widths) - 1)  # titles give way
    columns = {heading: {"no_wrap": True, "max_width": width} for heading, width in zip(headings, widths, strict=True)}
    print_table(columns, lines)


def fetch(
    names: Names,
    source: Source = None,
    copy: Annotated[bool, typer.Option("--copy", help="with --from: copy the files into the cache")] = False,
    file: Pattern = None,
    max_bytes: MaxBytes = None,
    config: Config = None,
    repo: Repo = None,
    revision: Revision = None,
) -> None:
    """Fetch data sets into the cache, checked file by file; goes on where an earlier call stopped.

    Of `meta-evaluation`, the set of attribution maps and scores, --config names what is wanted, such as scores.

    Example: harness data fetch pneumoniamnist breastmnist
    """
    if names == [META]:
        _fetch_published(config or [], repo, revision)
        return
    if config or repo or revision:
        raise UsageError(f"--config, --repo and --revision are for {META} alone; {names[0]} takes --file.")
    from harness.cli.progress import download_bar
    from harness.data.fetch import FetchOptions
    from harness.data.fetch import fetch as fetch_files
    from harness.data.manifests import find_dataset

    manifests = [find_dataset(name) for name in names]
    with download_bar() as progress:
        asked = FetchOptions(pattern=file, source=source, copy=copy, max_bytes=max_bytes, progress=progress)
        folders = [fetch_files(manifest, asked) for manifest in manifests]
    typer.echo("\n".join(map(str, folders)))


def _fetch_published(configs: list[str], repo: str | None, revision: str | None) -> None:
    from harness.data.published_sets import HubLocation, fetch_configs, known_location

    location = HubLocation(repo, "main") if repo else known_location(META)
    fetched = fetch_configs(location.repo, configs, revision or location.revision)
    typer.echo(fetched.folder)
    typer.echo(f"revision {fetched.revision}")


def verify(
    name: NameOrNone = None,
    all: Annotated[bool, typer.Option("--all", help="every bundled data set of which something is here")] = False,
) -> None:
    """Read fetched files again and compare them with what they were. Exit code 3 if any is damaged or changed,
    2 if a manifest cannot be read.

    Example: harness data verify --all
    """
    from harness.cli.progress import download_bar
    from harness.data.manifests import find_dataset, read_datasets
    from harness.data.store import read_index, reference
    from harness.data.upkeep import verify as verify_files

    if (name is None) != all:
        raise UsageError("name one data set, or give --all.")
    if name is None:
        found, broken = read_datasets()
        chosen = [each for each in found.values() if read_index(each.key, each.spec.id).files]
        unreadable = {each: problem for each, problem in broken.items() if each not in found}
    else:
        chosen, unreadable = [find_dataset(name)], {}
    for each, problem in unreadable.items():
        typer.echo(f"{each}: {problem}")
    damaged = []
    with download_bar() as progress:
        for manifest in chosen:
            problems = verify_files(manifest, progress)
            for problem in problems:
                typer.echo(f"{manifest.spec.id}: {problem}")
            damaged += [manifest] if problems else []
    if damaged:
        for manifest in damaged:
            typer.echo(f"to mend it: harness data fetch {reference(manifest)}")
        raise typer.Exit(_DAMAGED)
    typer.echo(f"{len(chosen)} data set{'s' * (len(chosen) != 1)} as fetched.")
    if unreadable:
        raise typer.Exit(_UNREADABLE)


def where(name: Name, file: Pattern = None) -> None:
    """Print the folder in which the files of a fetched data set lie. Exit code 2 if some are missing.

    Example: harness data where cifar-10
    """
    from harness.data.fetch import chosen_files
    from harness.data.manifests import find_dataset
    from harness.data.store import dataset_folder

    manifest = find_dataset(name)
    chosen_files(manifest, file)
    typer.echo(dataset_folder(manifest, file))


def prune(
    name: NameOrNone = None,
    all: Annotated[bool, typer.Option("--all", help="every data set, and what unfinished fetches left")] = False,
    older: Annotated[float | None, typer.Option(help="only what was fetched more than so many days ago")] = None,
    prepared: Annotated[bool, typer.Option("--prepared", help="also files made by `harness data prepare`")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
) -> None:
    """Remove fetched data from the cache, never what you have elsewhere; they can be fetched again.

    Example: harness data prune --older 90 --dry-run
    """
    from harness.data.upkeep import prune as prune_entries
    from harness.data.upkeep import removable
    from harness.spec.errors import UsageError

    if (name is not None) + all + (name is None and not all and older is not None) != 1:
        raise UsageError("name one data set, or give --all or --older DAYS.")
    entries = removable([] if name is None else [_id_of(name)], older, prepared=prepared)
    if not dry_run:
        prune_entries(entries)
    for entry in entries:
        typer.echo(f"{entry.what}: {entry.path} ({_size(entry.bytes)})")
    typer.echo(f"{_size(sum(entry.bytes for entry in entries))} {'would be' if dry_run else 'are'} freed.")


def lock(
    name: Name,
    source: Source = None,
    file: Pattern = None,
    into: Annotated[Path | None, typer.Option(help="folder for lock.json; default: beside source.toml")] = None,
) -> None:
    """Fetch a data set and record what its files are in lock.json, for everybody after you. For maintainers.

    Example: harness data lock cifar-10
    """
    from harness.cli.progress import download_bar
    from harness.data.fetch import FetchOptions
    from harness.data.locking import lock_dataset
    from harness.data.manifests import find_dataset

    with download_bar() as progress:
        path = lock_dataset(find_dataset(name), FetchOptions(pattern=file, source=source, progress=progress), into)
    typer.echo(path)


def _id_of(name: str) -> str:
    """A data set that is no longer bundled may still lie in the cache."""
    from harness.data.manifests import find_dataset
    from harness.data.store import read_index, sets_folder

    known = {read_index(path.stem, "").dataset for path in sets_folder().glob("*.json")}
    return name if name in known else find_dataset(name).spec.id


def _row(manifest: Manifest) -> dict[str, Any]:
    from harness.data.manifests import locking_md5
    from harness.data.store import missing_files

    files = manifest.spec.files
    sizes = [manifest.pin(file).bytes or file.about_bytes for file in files]
    return {
        "id": manifest.spec.id,
        "title": manifest.spec.title,
        "bytes": sum(size or 0 for size in sizes),
        "bytes_unknown": sum(size is None for size in sizes),
        "files": len(files),
        "locked": sum(manifest.pin(file).sha256 is not None for file in files),
        "locked_by_md5": sum(manifest.pin(file).sha256 is None and locking_md5(file) is not None for file in files),
        "access": manifest.spec.access,
        "here": len(files) - len(missing_files(manifest)),
        "licence": manifest.spec.licence,
    }


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    size = ("≥ " if row["bytes_unknown"] else "") + _size(row["bytes"]) if row["bytes"] else "?"
    here = {0: "no", row["files"]: "yes"}.get(row["here"], f"{row['here']}/{row['files']}")
    by_md5 = f" + {row['locked_by_md5']} md5" if row["locked_by_md5"] else ""
    return row["id"], row["title"], size, f"{row['locked']}/{row['files']}{by_md5}", row["access"], here


def _size(count: int) -> str:
    """Bytes as people read them."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
