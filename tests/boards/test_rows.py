"""What a row says beside its numbers, what incomplete methods have, and that rows leave each other alone."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from harness.boards.build import board_drift, build_board, write_board
from harness.boards.render import board_markdown
from harness.boards.sources import share_source
from harness.boards.submissions import read_about, read_submission
from harness.boards.tiers import record_path
from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.spec.board import Board, Row
from harness.spec.method import AttributionMethod
from harness.spec.submission import Cost
from harness.storage import write_json
from harness.tracks.attribution.leaderboard import AttributionLeaderboard
from harness.tracks.leaderboard import Entry, Leaderboard
from tests.boards.support import reproduced, told, write_submission
from tests.tracks.support import cells_of


def row(board: Board, name: str) -> Row:
    return next(each for each in board.rows if each.method == name)


@pytest.fixture
def good(protocol: LoadedBenchmark, tmp_path: Path) -> Path:
    write_submission(tmp_path, protocol, "poor", 0.5)
    return write_submission(tmp_path, protocol, "good", 2.0)


def test_a_row_says_what_stands_behind_it(protocol: LoadedBenchmark, good: Path) -> None:
    told(good, cost=Cost(seconds=1234.0, trainings=6), submitted=date(2026, 3, 4))
    board = build_board(protocol)
    found = row(board, "good")
    assert (found.units, found.tier, found.as_reported) == ("4/4", "recomputed", ())
    assert found.folder == "submissions/toy@1/good"
    page = board_markdown(board, protocol.benchmark)
    assert "| 4/4 | recomputed | 1,234 s, 6 trainings | 2026-03-04 |" in page
    assert "[good](../../../submissions/toy@1/good) [code](../../../submissions/toy@1/good/method.py)" in page
    assert "| 4/4 | recomputed | – | – |" in page, "of the one that says nothing"
    (good / "method.py").write_text("")
    share_source(good)
    source = read_about(good).method.source_sha256
    assert f"[code](../../../submissions/toy@1/sources/{source}.py)" in board_markdown(board, protocol.benchmark)


def test_a_row_that_was_measured_without_a_fence_says_so(protocol: LoadedBenchmark, good: Path) -> None:
    facts: dict[str, object] = {"harness": "1", "source_sha256": "0" * 64, "python": "3", "platform": "x"}
    facts |= {"packages": {}, "git_commit": None, "git_dirty": None, "device": "cpu", "threads": 1, "seeds": {}}
    board, submission = build_board(protocol), read_submission(good)
    assert [submission.remark(), row(board, "good").remark] == ["", ""], "without a run"
    said: dict[str, dict[str, object]] = {
        "": {"fence": "landlock 7"},
        "without a fence around the method": {"fence": "audit hook"},
        "with further files open to the method: 2, see its run.json": {"fence": "landlock 7", "readable": ["/a", "/b"]},
    }
    for remark, recorded in said.items():
        write_json(good / "run.json", {"environment": facts | recorded})
        assert submission.remark() == remark
        told_so = row(board, "good").model_copy(update={"remark": remark})
        page = board_markdown(board.model_copy(update={"rows": (told_so,)}), protocol.benchmark)
        assert (f"‡ Measured {remark}: good." in page) is bool(remark)
        assert ("| recomputed ‡ |" in page) is bool(remark)
        assert ("remark" in told_so.canonical()) is bool(remark), "boards from before stay as they were"
    write_json(good / "run.json", {"environment": facts})
    assert submission.remark() == "", "of a run from before there was a record"


def test_a_reproduced_row_says_so(protocol: LoadedBenchmark, good: Path) -> None:
    record = record_path(read_about(good))
    record.parent.mkdir()
    write_json(record, reproduced(good).canonical())
    assert {each.method: each.tier for each in build_board(protocol).rows} == {
        "good": "reproduced",
        "poor": "recomputed",
    }


def test_of_equals_the_earlier_stands_first(protocol: LoadedBenchmark, good: Path) -> None:
    """Whatever they are called; who does not say when comes last."""
    for name, day in {"a-copy": date(2026, 5, 1), "z-original": date(2026, 1, 1), "b-silent": None}.items():
        folder = Path(shutil.copytree(good, good.with_name(name)))
        told(folder, submitted=day, method=read_about(good).method.model_copy(update={"name": name}))
    rows = [each.method for each in build_board(protocol).rows]
    assert rows == ["z-original", "a-copy", "b-silent", "good", "poor"]


def test_an_oracle_is_marked(protocol: LoadedBenchmark, good: Path) -> None:
    told(good, method=read_about(good).method.model_copy(update={"oracle": True, "reference": True}))
    board = build_board(protocol)
    assert row(board, "good").oracle
    page = board_markdown(board, protocol.benchmark)
    assert "*[good](../../../submissions/toy@1/good)* (oracle)" in page
    assert "no method can be expected to reach it" in page


@pytest.mark.usefixtures("good")
def test_an_incomplete_method_is_listed_with_what_it_has(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    before = build_board(protocol)
    folder = write_submission(tmp_path, protocol, "half", 2.0)
    whole = row(build_board(protocol), "half").cells["iid"]
    shutil.rmtree(folder)
    keep = [f"{model}--iid--confidence" for model in ("one", "two")]
    write_submission(tmp_path, protocol, "half", 2.0, units=4)
    from harness.storage import file_id, read_arrays, write_arrays

    arrays = read_arrays(folder / "outputs.npz")
    write_arrays(folder / "outputs.npz", {name: arrays[name] for name in keep})
    told(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})
    board = build_board(protocol)
    (listed,) = board.unranked
    assert (listed.method, listed.units, set(listed.cells)) == ("half", "2/4", {"iid"})
    assert listed.cells["iid"].value == whole.value
    assert listed.cells["iid"].rank is None
    assert board.rows == before.rows, "it changes nobody"
    page = board_markdown(board, protocol.benchmark)
    assert f"- half: 2 of 4 units are there; it has iid {whole.value:.1f}" in page


def test_a_submission_of_another_kind_is_listed(protocol: LoadedBenchmark, good: Path) -> None:
    alien = AttributionMethod(
        task="attribution",
        name="good",
        version="1",
        origin="file",
        target="f.py",
        symbol="f",
        source_sha256="0" * 64,
    )
    told(good, method=alien)
    (listed,) = build_board(protocol).unranked
    assert listed.reason == "good is a method for attribution benchmarks, but toy@1 is one for confidence."


def test_worker_count_and_cache_change_no_byte(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    for number in range(7):
        write_submission(tmp_path, protocol, f"m{number}", number / 2)
    one = build_board(protocol, workers=1)
    shutil.rmtree(tmp_path / "cache")
    assert build_board(protocol, workers=2) == one
    for path in (tmp_path / "cache" / "entries").rglob("*.npz"):
        path.write_bytes(b"damaged")
    assert build_board(protocol) == one


@pytest.mark.usefixtures("good")
def test_drift_is_told_with_its_first_line(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    folder = protocol.path.parent
    assert board_drift(board, protocol) == f"{folder / 'board.json'} is missing; run: harness board build toy@1"
    write_board(board, protocol)
    assert board_drift(board, protocol) is None
    text = (folder / "board.csv").read_text().splitlines()
    edited = [*text[:2], text[2].replace("toy@1", "toy@2"), *text[3:]]
    (folder / "board.csv").write_text("\n".join(edited) + "\n")
    sentence = board_drift(board, protocol)
    assert sentence is not None
    assert sentence.startswith(f"{folder / 'board.csv'}, line 3: there is 'toy@2,good")
    assert "but the build gives 'toy@1,good" in sentence
    (folder / "board.csv").write_text("\n".join(text[:-1]) + "\n")
    assert "there is '', but" in str(board_drift(board, protocol))


# Rows leave each other alone: the promise of every leaderboard.


def confidence_board(tmp_path: Path) -> tuple[Leaderboard, list[Entry]]:
    from harness.boards.entries import leaderboard_of
    from tests.boards.support import write_checkout

    protocol = write_checkout(tmp_path)
    board = leaderboard_of(protocol)
    return board, [_scores(board.columns, name, quality) for name, quality in _QUALITIES.items()]


def query_board(tmp_path: Path) -> tuple[Leaderboard, list[Entry]]:
    from harness.boards.entries import leaderboard_of
    from harness.data.catalog import find_protocol

    board = leaderboard_of(find_protocol("query-realistic-al@2"))
    return board, [_scores(board.columns, name, quality) for name, quality in _QUALITIES.items()]


def attribution_board(tmp_path: Path) -> tuple[Leaderboard, list[Entry]]:
    from tests.tracks.attribution.support import BENCHMARK, write_benchmark

    text = BENCHMARK.replace('["input-x-gradient", "saliency"]', '["a", "b", "c"]')
    board = AttributionLeaderboard(load_protocol(write_benchmark(tmp_path, text)))
    return board, [_maps(name, quality) for name, quality in _QUALITIES.items()]


_QUALITIES = {"a": 1.0, "b": 2.0, "c": 2.05, "new": 2.02, "other": 0.2}
_POOL = ("a", "b", "c")


def _scores(columns: tuple[str, ...], name: str, quality: float) -> Entry:
    """A score in (0, 1) and 60 replicates by column."""
    from harness.spec.method import ConfidenceMethod

    rng = np.random.default_rng(sum(name.encode()))
    about = ConfidenceMethod(
        task="confidence",
        name=name,
        version="1",
        origin="file",
        target="f.py",
        symbol="f",
        source_sha256="0" * 64,
    )
    arrays = {column: np.append(quality, quality + 0.05 * rng.normal(size=60)) / 5 for column in columns}
    return Entry(about, arrays, 1, 1)


def _maps(name: str, quality: float) -> Entry:
    rng = np.random.default_rng(sum(name.encode()))
    about = AttributionMethod(
        task="attribution",
        name=name,
        version="1",
        origin="file",
        target="f.py",
        symbol="f",
        source_sha256="0" * 64,
    )
    metrics = {"faithfulness_estimate": 1, "sparseness": 1, "relevance_mass": 1, "local_lipschitz": -1}
    return Entry(
        about,
        {f"test--small--{metric}": sign * (quality + 0.1 * rng.normal(size=30)) for metric, sign in metrics.items()},
        1,
        1,
    )


@pytest.mark.parametrize("of", [confidence_board, query_board, attribution_board], ids=lambda of: of.__name__)
@pytest.mark.parametrize("leaves", ["new", "other"])
def test_a_row_that_goes_changes_no_score_and_ranks_by_the_count_above(of, leaves: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    board, entries = of(tmp_path)
    before = cells_of(board, entries)
    after = cells_of(board, [each for each in entries if each.method.name != leaves])
    for column in board.columns:
        gone = before[column][leaves]
        for name, cell in after[column].items():
            old = before[column][name]
            assert (cell.value, cell.low, cell.high) == (old.value, old.low, old.high)
            above = gone.value < old.value if board.shows.lower_is_better else gone.value > old.value
            # In a pool, others than its members are compared with the pool alone and move nobody.
            pooled = isinstance(board, AttributionLeaderboard)
            assert old.rank - cell.rank == (0 if pooled else int(above))


def test_the_page_says_what_moves_and_what_does_not(protocol: LoadedBenchmark) -> None:
    page = board_markdown(build_board(protocol), protocol.benchmark)
    assert "A row that comes or goes changes no other row's score or interval" in page
    assert "reference pool excepted" not in page


def test_cost_says_what_was_counted_and_nothing_else() -> None:
    from harness.boards.render import cost_text
    from harness.spec.board import Row
    from harness.spec.submission import Cost

    def text(**counted: int) -> str:
        cost = Cost(seconds=9.4, **counted)
        return cost_text(Row(method="m", version="1", reference=False, units="1/1", cost=cost, cells={}))

    assert text() == "9 s"
    assert text(trainings=1) == "9 s, 1 training"
    assert text(forwards=1500, backwards=30) == "9 s, 1,500 forwards, 30 backwards"
    assert text(forwards=0, backwards=0) == "9 s", "a method that asks for networks and does not use them"
