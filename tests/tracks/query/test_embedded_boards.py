"""The boards of the embedded benchmarks, of query-pneumonia 1 and of query-realistic-al 2 can be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.build import build_board, read_board, read_standings
from harness.boards.render import board_csv, board_markdown
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.methods.discovery import baseline_names, find_method
from harness.spec.board import Board
from harness.spec.query import QueryBenchmark
from harness.tracks.query.curves import CURVES
from harness.tracks.query.learners import open_ledger
from harness.tracks.query.sources import Setting
from tests.pneumonia import fetch_pneumonia

WITH_ROWS = ("query-mnist@2", "query-mni152@2", "query-pneumonia@1")
RISE = {"query-pneumonia@1": 0.005}
"""By how much the last training beats the first, on average over strategies; by 0.02 where nothing is said."""
WANTED = {
    "query-pneumonia@1": {"random-sampling", "predictive-entropy", "bald", "power-bald", "core-set", "badge"},
    "query-mnist@2": {"random-sampling", "predictive-entropy", "bald", "power-bald", "core-set", "badge"},
    "query-mni152@2": {
        "random-sampling",
        "foreground-random-33",
        "foreground-random-66",
        "predictive-entropy",
        "bald",
        "power-bald",
        "clasp-pe",
    },
}


def opened(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    """With a cache of the test's own, which has the images that the benchmark needs; skips where they are nowhere."""
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    if name == "query-pneumonia@1":
        fetch_pneumonia(cache, monkeypatch)
    return find_protocol(name)


@pytest.fixture(params=WITH_ROWS)
def protocol(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    return opened(request.param, tmp_path / "cache", monkeypatch)


@pytest.fixture
def board(protocol: LoadedBenchmark) -> Board:
    return read_board(protocol)


@pytest.mark.parametrize("name", [*WITH_ROWS, "query-realistic-al@2"])
def test_the_committed_board_is_the_one_its_submissions_give(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = opened(name, tmp_path, monkeypatch)
    built, folder = build_board(protocol), protocol.path.parent
    assert built == read_board(protocol)
    assert board_csv(built) == (folder / "board.csv").read_text()
    assert board_markdown(built, protocol.benchmark) == (folder / "board.md").read_text()
    assert not built.unranked


def test_the_reference_strategies_are_there_as_they_are_declared_here(protocol: LoadedBenchmark, board: Board) -> None:
    names = {row.method for row in board.rows}
    assert WANTED[protocol.benchmark.name] <= names <= set(baseline_names("query"))
    for entry in read_standings(protocol).entries:
        shipped = find_method(entry.method.name).spec
        assert entry.method == shipped.model_copy(update={"source_sha256": entry.method.source_sha256})


def test_strategies_that_read_labels_take_no_rank(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol, all_tiers=True)
    oracles = {name for name in baseline_names("query") if find_method(name).spec.oracle}
    assert oracles == {"foreground-random-33", "foreground-random-66"}
    for row in board.rows:
        ranked = any(cell.rank is not None for cell in row.cells.values())
        assert ranked == (row.method not in oracles), row.method


def test_every_strategy_began_alike_and_more_labels_helped(protocol: LoadedBenchmark) -> None:
    """Curves of one study and seed agree in their first loop; on average over strategies they rise from there."""
    benchmark = protocol.of(QueryBenchmark)
    curves: dict[str, list[list[float]]] = {study.id: [] for study in benchmark.studies}
    for entry in read_standings(protocol).entries:
        for study in benchmark.studies:
            curves[study.id].append(entry.arrays[CURVES + study.id].tolist())
    for study in benchmark.studies:
        starts = {tuple(seed[0] for seed in method) for method in curves[study.id]}
        assert len(starts) == 1
        first = sum(starts.pop()) / len(benchmark.seeds)
        last = [seed[-1] for method in curves[study.id] for seed in method]
        assert sum(last) / len(last) > first + RISE.get(protocol.benchmark.name, 0.02)


def test_pinned_starts_are_valid_and_show_every_class(protocol: LoadedBenchmark) -> None:
    benchmark = protocol.of(QueryBenchmark)
    for study in benchmark.studies:
        for seed in benchmark.seeds:
            ledger = open_ledger(Setting(protocol, study), seed)
            start = ledger.start()
            assert len(start) == study.start
            ledger.check(start, [start[:0]], study.start)
            effort = ledger.effort([start])
            assert (effort["patches" if study.patches else "labels"] > 0).all()


def test_the_gate_accepts_every_committed_submission_without_a_word(protocol: LoadedBenchmark) -> None:
    from harness.boards.gate import validate
    from harness.boards.submissions import submission_folders, submissions_folder

    for folder in submission_folders(submissions_folder(protocol.benchmark.name)):
        report = validate(folder)
        assert not report.findings, [finding.sentence for finding in report.findings]
        assert "aubc" in report.as_reported
