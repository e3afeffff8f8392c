"""Pages of benchmark versions: what each measures, its board, its rows, and a list of them all by track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.build import JSON, read_board
from harness.boards.exports import export_board
from harness.boards.render import (
    competitors_first,
    published_tables,
    unearned_ranks,
)
from harness.data.catalog import LoadedBenchmark, benchmark_files, bundled_folder, load_protocol
from harness.data.manifests import read_datasets
from harness.execution.needs import Datasets, needs_of
from harness.metrics.facts import board_text
from harness.reports.page import script_json
from harness.reports.site.comparisons import compare_rows
from harness.reports.site.datasets import dataset_pages
from harness.reports.site.rows import Method, by_study, helpers, read_method, write_method
from harness.reports.site.text import inline_markdown, inline_svg, markdown, write_page
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of

FORMATS = {"csv": "board.csv", "json": JSON, "parquet": "board.parquet", "bibtex": "board.bib", "latex": "board.tex"}
TRACKS = {
    "confidence": "Confidence scores",
    "query": "Query strategies",
    "attribution": "XAI methods",
    "attribution-metric": "Metrics of XAI methods",
}
"""Headings; a kind from elsewhere has its task as one."""


@dataclass(frozen=True)
class Version:
    """A version of a benchmark, and its board where it was built."""

    protocol: LoadedBenchmark
    board: Board | None

    @property
    def place(self) -> str:
        """Where its page lies; the same for ever."""
        return f"leaderboards/{self.protocol.benchmark.id}/{self.protocol.benchmark.version}"


def write_versions(source: Path, say: Callable[[str], None]) -> dict[str, bytes]:
    """Pages of all bundled benchmarks. Returns the files that belong beside them: path -> content."""
    versions, datasets = [], read_datasets()
    files: dict[str, bytes] = {}
    for path in benchmark_files().values():
        protocol = load_protocol(path)
        built = (path.parent / JSON).is_file()
        version = Version(protocol, read_board(protocol) if built else None)
        say(f"{protocol.benchmark.name}: {f'{len(version.board.rows)} rows' if version.board else 'no board'}")
        files |= _write_version(source, version, datasets)
        versions.append(version)
    tracks: dict[str, dict[str, list[Version]]] = {}
    for version in versions:
        benchmark = version.protocol.benchmark
        tracks.setdefault(benchmark.task, {}).setdefault(benchmark.id, []).insert(0, version)
    ordered = {task: tracks[task] for task in (*TRACKS, *sorted(tracks.keys() - TRACKS.keys())) if task in tracks}
    write_page(source, "leaderboards", "boards", tracks=ordered, titles=TRACKS)
    write_page(source, "leaderboards/submit", "submit", text=markdown(_how_to_submit(), "../../"))
    return files


def _write_version(source: Path, version: Version, datasets: Datasets) -> dict[str, bytes]:
    protocol, board, place = version.protocol, version.board, version.place
    methods: list[Method] = [] if board is None else [read_method(row, protocol) for row in competitors_first(board)]
    compared = compare_rows(protocol, board, datasets) if board is not None and len(board.rows) > 1 else ""
    changes = protocol.path.with_name("CHANGES.md")
    write_page(
        source,
        place,
        "version",
        **helpers(board),
        protocol=protocol,
        board=board,
        changes=changes.is_file(),
        track=TRACKS.get(protocol.benchmark.task, protocol.benchmark.task),
        facts=_facts(protocol),
        needs=_data(protocol, datasets),
        data_pages=dataset_pages(),
        methods=methods,
        order=[] if board is None else [board.columns[-1], *board.columns[:-1]],
        note=inline_markdown(unearned_ranks(board)) if board else "",
        sentence=inline_markdown,
        published=published_tables(board) if board else {},
        sources=list(dict.fromkeys(each.source for each in board.published)) if board else [],
        studies=by_study(methods),
        compared=compared,
        data=script_json(_compare_data(compared, board)) if board and not isinstance(compared, str) else "",
        curves=_picture(protocol.path.with_name("curves.svg")),
        formats=FORMATS.values() if board else (),
    )
    if changes.is_file():
        text = changes.read_text("utf-8").partition("\n")[2]
        write_page(source, f"{place}/changes", "changes", protocol=protocol, text=markdown(text, "../../../../"))
    if board is None:
        return {}
    for each in methods:
        write_method(source, f"{place}/{each.row.method}", each, protocol, board)
    return {f"{place}/{name}": _exported(board, protocol, format) for format, name in FORMATS.items()}


def _exported(board: Board, protocol: LoadedBenchmark, format: str) -> bytes:
    """The files as committed, where they are; others as `harness board export` writes them."""
    committed = protocol.path.with_name(FORMATS[format])
    return committed.read_bytes() if committed.is_file() else export_board(board, protocol, format)


def _compare_data(compared: Any, board: Board) -> dict[str, Any]:
    """What the page's script needs: every row's numbers as they stand in the table, and the differences."""
    rows = {
        row.method: [board_text(board.metric, row.cells[c].value) if c in row.cells else "–" for c in board.columns]
        for row in competitors_first(board)
    }
    return {**compared.data, "rows": rows}


def _facts(protocol: LoadedBenchmark) -> list[tuple[str, str]]:
    """What a version holds, counted in its protocol."""
    benchmark = protocol.benchmark
    models = getattr(benchmark.source, "models", ())
    ranks = "rows that a maintainer has reproduced" if benchmark.ranked_tier == "reproduced" else "all rows"
    groups = dict.fromkeys(study.group for study in benchmark.compared)
    found = [
        (
            "studies",
            f"{len(benchmark.compared)}"
            + (f" in {len(groups)} groups" if 1 < len(groups) < len(benchmark.compared) else ""),
        )
    ]
    found += [("networks", f"{len(models)}")] if models else []
    return [
        *found,
        ("intervals", f"95 %, {benchmark.bootstrap.replicates} paired bootstrap resamples"),
        ("ranks for", ranks),
        ("withheld from methods", kind_of(benchmark.task).withheld),
    ]


def _data(protocol: LoadedBenchmark, datasets: Datasets) -> list[tuple[str, str]]:
    """The data sets that it rests on, with their licences; one of its own name is part of the repository."""
    try:
        found = [(each.dataset, each.licence) for each in needs_of(protocol, datasets).data]
    except UsageError:
        found = []
    own = (protocol.benchmark.id, protocol.benchmark.licence)
    return [own, *found] if own[0] in dataset_pages() and own[0] not in dict(found) else found


def _picture(path: Path) -> str:
    """The picture beside a board, for use in a page; empty where there is none."""
    return inline_svg(path.read_text("utf-8")) if path.is_file() else ""


def _how_to_submit() -> str:
    """The sections of CONTRIBUTING.md that say how a method is submitted and judged."""
    path = bundled_folder("CONTRIBUTING.md")
    text = path.read_text("utf-8") if path.is_file() else ""
    start, end = text.find("## Submitting a method"), text.find("## Adding")
    return text[start:end] if 0 <= start < end else "See `CONTRIBUTING.md` in the repository."
