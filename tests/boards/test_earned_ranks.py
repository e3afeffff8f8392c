"""Where every file of a benchmark is pinned, a row has a rank once a maintainer has run its method again, and not before."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

import harness
from harness.boards.build import board_drift, build_board, write_board
from harness.boards.diff import board_changes
from harness.boards.exports import export_board
from harness.boards.findings.gather import board_evidence
from harness.boards.gate.candidate import Candidate
from harness.boards.gate.conduct import far_ahead
from harness.boards.place import place_of
from harness.boards.render import board_markdown
from harness.boards.submissions import read_about
from harness.boards.tiers import tier_of
from harness.cli import board as verbs
from harness.cli.render import print_board, print_result
from harness.data import catalog
from harness.data.catalog import LoadedBenchmark, find_protocol, load_protocol
from harness.spec.board import Board, Row
from harness.spec.submission import Cost, Maps
from harness.tracks.attribution.leaderboard import AttributionLeaderboard
from tests.attacks.gate import labels_with_noise
from tests.boards.gate.support import write_template
from tests.boards.support import change_outputs, record, told, write_submission
from tests.boards.test_rows import attribution_board
from tests.boards.workshop import write_workshop
from tests.tracks.support import cells_of

DAYS = {"poor": date(2026, 11, 2), "fair": date(2026, 11, 1), "good": date(2026, 11, 3)}
QUALITIES = {"poor": 0.3, "fair": 1.0, "good": 3.0}


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    """The toy benchmark with pinned files, and nothing on its board."""
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    write_workshop(tmp_path)
    return find_protocol("toy@1")


@pytest.fixture
def rows(protocol: LoadedBenchmark, tmp_path: Path) -> dict[str, Path]:
    """Three submissions that nobody has reproduced."""
    made = {name: write_submission(tmp_path, protocol, name, quality) for name, quality in QUALITIES.items()}
    for name, folder in made.items():
        told(folder, submitted=DAYS[name], cost=Cost(seconds=1.0, forwards=10))
    return made


def ranks(board: Board) -> dict[str, int | None]:
    """In the order of the board, those of its last column."""
    return {row.method: row.cells[board.columns[-1]].rank for row in board.rows}


def row(board: Board, name: str) -> Row:
    return next(each for each in board.rows if each.method == name)


def test_which_benchmarks_a_ci_machine_can_reproduce() -> None:
    bundled = {name: find_protocol(name).benchmark for name in catalog.benchmark_files()}
    earned = {benchmark.id for benchmark in bundled.values() if benchmark.ranked_tier == "reproduced"}
    embedded = {f"{kind}-{data}" for kind in ("attribution", "confidence", "query") for data in ("mnist", "pneumonia")}
    assert earned == {*embedded, "meta-mnist", "query-mni152"}


def test_a_benchmark_may_say_from_which_tier_on_rows_have_ranks(
    protocol: LoadedBenchmark, rows: dict[str, Path]
) -> None:
    """As one for a graphics card does; its numbers, and so its hash, are the same."""
    text = protocol.path.read_text()
    protocol.path.write_text(text.replace("version = 1\n", 'version = 1\nranks_from = "recomputed"\n', 1))
    changed = load_protocol(protocol.path)
    assert (protocol.benchmark.ranked_tier, changed.benchmark.ranked_tier) == ("reproduced", "recomputed")
    assert changed.hash == protocol.hash
    record(rows["poor"])
    assert ranks(build_board(changed)) == {"good": 1, "fair": 2, "poor": 3}


def test_a_record_gives_a_rank(protocol: LoadedBenchmark, rows: dict[str, Path]) -> None:
    assert ranks(build_board(protocol)) == {"fair": None, "poor": None, "good": None}, "who waits longest stands first"
    record(rows["poor"])
    board = build_board(protocol)
    assert ranks(board) == {"poor": 1, "fair": None, "good": None}
    assert [each.waits for each in board.rows] == [False, True, True]
    assert board.groups == dict.fromkeys(board.columns, 1)
    cells = row(board, "good").cells.values()
    assert {(c.rank, c.rank_low, c.rank_high, c.group) for c in cells} == {(None, None, None, None)}
    record(rows["good"])
    board = build_board(protocol)
    assert ranks(board) == {"good": 1, "poor": 2, "fair": None}
    cell = row(board, "poor").cells["mean"]
    assert (cell.rank_low, cell.rank_high, cell.group) == (2, 2, 2), "the row that waits widens no interval"


def test_ranks_are_those_that_a_board_of_reproduced_rows_alone_has(
    protocol: LoadedBenchmark, rows: dict[str, Path]
) -> None:
    for name in ("poor", "good"):
        record(rows[name])
    whole = build_board(protocol)
    shutil.rmtree(rows["fair"])
    alone = build_board(protocol)
    assert [each for each in whole.rows if not each.waits] == list(alone.rows)
    assert (whole.groups, whole.tables) == (alone.groups, alone.tables)


def another_submission(folder: Path) -> None:
    change_outputs(folder, lambda arrays: arrays.update({name: -array for name, array in arrays.items()}))


NOT_OF_THIS_STATE: dict[str, Callable[[Path], object]] = {
    "other outputs": another_submission,
    "another run": lambda folder: told(folder, run="1" * 64),
    "other maps": lambda folder: told(folder, maps=Maps(arrays={"one--iid--maps": "1" * 64})),
    "a record of another version": lambda folder: record(folder, run="1" * 64),
    "a record of what came out differently": lambda folder: record(folder, same=False),
    "a record in the submission": lambda folder: shutil.move(record(folder), folder / "reproduction.json"),
    "no JSON": lambda folder: record(folder).write_text("{"),
    "a record of another row": lambda folder: shutil.copy(record(folder.with_name("fair")), record(folder)),
}


@pytest.mark.parametrize("case", NOT_OF_THIS_STATE)
def test_a_record_counts_for_the_state_that_it_was_made_of(
    protocol: LoadedBenchmark, rows: dict[str, Path], case: str
) -> None:
    record(rows["good"])
    assert ranks(build_board(protocol))["good"] == 1
    NOT_OF_THIS_STATE[case](rows["good"])
    board = build_board(protocol)
    assert tier_of(read_about(rows["good"])) == "recomputed"
    assert (ranks(board)["good"], row(board, "good").waits) == (None, True)


def test_of_equals_the_earlier_keeps_the_better_place(protocol: LoadedBenchmark, rows: dict[str, Path]) -> None:
    """Whichever was reproduced first."""
    copy = Path(shutil.copytree(rows["good"], rows["good"].with_name("a-copy")))
    told(copy, submitted=date(2026, 12, 1), method=read_about(copy).method.model_copy(update={"name": "a-copy"}))
    record(copy)
    assert ranks(build_board(protocol)) == {"a-copy": 1, "fair": None, "poor": None, "good": None}
    record(rows["good"])
    assert list(ranks(build_board(protocol)).items())[:2] == [("good", 1), ("a-copy", 1)]


def test_the_costs_of_a_reproduced_row_are_those_of_its_reproduction(
    protocol: LoadedBenchmark, rows: dict[str, Path]
) -> None:
    again = Cost(seconds=33.0, forwards=1500)
    record(rows["good"], cost=again, counted=("with 1,500 forwards where its submission says 10",))
    board = build_board(protocol)
    assert (row(board, "good").cost, row(board, "poor").cost) == (again, Cost(seconds=1.0, forwards=10))
    page = board_markdown(board, protocol.benchmark)
    assert "| reproduced ‡ | 33 s, 1,500 forwards | 2026-11-03 |" in page
    assert "‡ Measured with 1,500 forwards where its submission says 10: good." in page
    assert "Cost of a reproduced row is what that run took, on the maintainers' machine" in page
    record(rows["good"], same=False)
    board = build_board(protocol)
    assert row(board, "good").cost == Cost(seconds=1.0, forwards=10)
    assert "Cost is as the submitter measured it" in board_markdown(board, protocol.benchmark)


def test_every_form_of_a_board_says_who_waits(
    protocol: LoadedBenchmark, rows: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    record(rows["poor"])
    told(rows["fair"], submitted=None)
    board = build_board(protocol)
    print_board(board, protocol.benchmark)
    sentence = "Only reproduced rows have ranks: 2 rows wait below them, longest first; "
    shown = capsys.readouterr().out
    assert f"{sentence}harness board show toy@1 --all-tiers ranks all." in shown
    page = board_markdown(board, protocol.benchmark)
    assert f"\n\n{sentence}`harness board show toy@1 --all-tiers` ranks all.\n\n| rank |" in page
    for text in (shown, page):
        assert "recomputed, waits since 2026-11-03" in text
        assert "recomputed, waits since a day that is not known" in text
    found = json.loads(export_board(board, protocol, "json"))
    assert [(each["method"], each.get("waits", False)) for each in found["rows"]] == [
        ("poor", False),
        ("good", True),
        ("fair", True),
    ]
    assert found["ranks_from"] == "reproduced"
    table = csv.DictReader(io.StringIO(export_board(board, protocol, "csv").decode()))
    mean = {line["method"]: (line["rank"], line["waits_since"]) for line in table if line["column"] == "mean"}
    assert mean == {"poor": ("1", ""), "good": ("", "2026-11-03"), "fair": ("", "unknown")}
    columns = parquet.read_table(io.BytesIO(export_board(board, protocol, "parquet"))).to_pydict()
    assert set(columns["waits_since"]) == {None, "2026-11-03", "unknown"}
    latex = export_board(board, protocol, "latex").decode()
    assert "Without a rank: rows that are not reproduced yet." in latex
    assert " & good & " in latex


def test_a_board_without_a_reproduced_row_can_be_read(
    protocol: LoadedBenchmark, rows: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_submission(rows["poor"].parents[2], protocol, "bound", 50.0, reference=True)
    board = build_board(protocol)
    assert list(ranks(board)) == ["fair", "poor", "good", "bound"]
    assert not row(board, "bound").waits, "it asks for no rank"
    write_board(board, protocol)
    assert board_drift(build_board(protocol), protocol) is None
    page = (protocol.path.parent / "board.md").read_text()
    assert "No row is reproduced yet, so none has a rank; `harness board show toy@1 --all-tiers` ranks all." in page
    assert "Groups:" not in page
    print_board(board, protocol.benchmark)
    assert "No row is reproduced yet, so none has a rank" in capsys.readouterr().out
    assert board_evidence(protocol).numbers == (), "nothing that findings could rest on"


def test_an_empty_board(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    assert (board.rows, board.ranks_from) == ((), "reproduced")
    assert "is reproduced yet" not in board_markdown(board, protocol.benchmark)


@pytest.mark.usefixtures("rows")
def test_all_tiers_are_ranked_for_the_curious(protocol: LoadedBenchmark) -> None:
    def shown(*arguments: str) -> str:
        done = CliRunner().invoke(verbs.app, ["show", "toy@1", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    write_board(build_board(protocol), protocol)
    before = (protocol.path.parent / "board.json").read_bytes()
    assert "of all tiers" not in shown()
    text = shown("--all-tiers")
    assert "Rows of all tiers are ranked here; on the official board" in text
    assert "is reproduced yet" not in text
    board = Board.model_validate_json(shown("--all-tiers", "--json"))
    assert ranks(board) == {"good": 1, "fair": 2, "poor": 3}
    assert (protocol.path.parent / "board.json").read_bytes() == before


def test_changes_say_what_earned_a_rank(protocol: LoadedBenchmark, rows: dict[str, Path]) -> None:
    unearned = build_board(protocol)

    def since(old: Board) -> dict[str, str]:
        return {each.method: each.text for each in board_changes(old, build_board(protocol))}

    record(rows["poor"])
    first = build_board(protocol)
    assert since(unearned) == {"poor": "moved from rank none to 1: is now reproduced, was recomputed"}
    record(rows["good"])
    assert since(first) == {
        "good": "moved from rank none to 1: is now reproduced, was recomputed",
        "poor": "moved from rank 1 to 2: good now above it",
    }
    second = build_board(protocol)
    another_submission(rows["good"])
    assert since(second)["good"] == "moved from rank 1 to none: its submission changed; it waits to be reproduced"
    write_submission(rows["poor"].parents[2], protocol, "new", 1.0)
    assert since(second)["new"] == "came without a rank: it waits to be reproduced"


@pytest.mark.usefixtures("in_this_process")
def test_a_run_takes_its_place_among_rows_of_all_tiers(
    protocol: LoadedBenchmark, rows: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = harness.evaluate("msr", benchmark="toy@1", out=tmp_path / "runs", workers=1)
    places = place_of(result)
    assert not isinstance(places, str)
    print_result(result, places)
    remark = "Rows of all tiers are ranked here, among them 3 rows that wait to be reproduced."
    assert remark in capsys.readouterr().out
    for row in rows.values():
        record(row)
    earned = place_of(result)
    assert not isinstance(earned, str)
    assert [replace(each, remark=remark) for each in earned] == list(places), "a record changes no number"
    assert {each.remark for each in earned} == {""}


def test_rows_that_wait_hide_nobody_who_is_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strong row of somebody's second name would, if it counted."""
    root = tmp_path / "checkout"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_PACKAGE", root / "harness")
        write_template(root)
    monkeypatch.setattr(catalog, "_PACKAGE", root / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    own = root / "submissions" / "toy@1" / "margin"
    labels_with_noise.attack(own)
    strong = write_submission(root, find_protocol("toy@1"), "strong", 6.0)
    assert list(far_ahead(Candidate(own))) == [], "nobody is reproduced: the strong row stands before it"
    record(own.with_name("msr"))
    found = list(far_ahead(Candidate(own)))
    assert "it is nearer to a row that reads labels than to msr, the next, in mean; see how it does that." in found
    record(strong)
    assert list(far_ahead(Candidate(own))) == []


def test_reference_rows_set_ranks_once_they_are_reproduced(tmp_path: Path) -> None:
    """Of a pool a, b and c, whoever is reproduced; numbers and ranks are those that a board of these alone gives."""
    board, entries = attribution_board(tmp_path)
    assert isinstance(board, AttributionLeaderboard)

    def waiting(*names: str) -> dict[str, dict[str, object]]:
        cells = cells_of(board, [replace(each, waits=each.method.name in names) for each in entries])
        return {column: dict(found) for column, found in cells.items()}

    pool_of_two = cells_of(board, [each for each in entries if each.method.name != "c"])
    for column, cells in waiting("c").items():
        own = cells.pop("c")
        assert cells == pool_of_two[column], "c sets nobody's rank"
        assert own.rank is None
    everybody = cells_of(board, entries)
    for column, cells in waiting(*(each.method.name for each in entries)).items():
        for name, cell in cells.items():
            same = everybody[column][name]
            assert (cell.value, cell.low, cell.high) == (same.value, same.low, same.high), "it can be read as before"
            assert (cell.rank, cell.group) == (None, None)
    without_pool = waiting("a", "b", "c")
    alone = cells_of(board, [each for each in entries if each.method.name not in ("a", "b", "c")])
    for column, cells in without_pool.items():
        assert {name: cells[name] for name in ("new", "other")} == alone[column], "reproduced rows rank each other"
