"""Two methods side by side: paired differences with intervals, or the board's verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.boards.build import build_board, write_board
from harness.boards.compare import BoardComparison, Comparison, compare, compare_entries
from harness.boards.entries import leaderboard_of, submission_entry
from harness.boards.submissions import read_submission
from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.spec.errors import UsageError
from tests.boards.support import told, write_submission
from tests.boards.test_rows import _maps, _scores
from tests.boards.workshop import GAP, evaluate, write_workshop

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def folders(protocol: LoadedBenchmark, tmp_path: Path) -> dict[str, Path]:
    qualities = {"poor": 0.3, "good": 2.0}
    return {name: write_submission(tmp_path, protocol, name, quality) for name, quality in qualities.items()}


def methods(a: str | Path, b: str | Path) -> Comparison:
    found = compare(str(a), str(b))
    assert isinstance(found, Comparison)
    return found


def test_a_difference_is_that_of_the_scores_and_turns_with_the_sides(
    folders: dict[str, Path], protocol: LoadedBenchmark
) -> None:
    found, turned = methods("toy@1/good", folders["poor"]), methods("toy@1/poor", "toy@1/good")
    assert (found.a, found.b, found.benchmark) == ("good", "poor", "toy@1")
    assert [each.column for each in found.differences] == ["iid", "shift", "mean"]
    cells = {row.method: row.cells for row in build_board(protocol).rows}
    for each, other in zip(found.differences, turned.differences, strict=True):
        assert each.a == pytest.approx(cells["good"][each.column].value, rel=1e-5)
        assert each.difference == pytest.approx(each.a - each.b)
        assert each.low is not None
        assert each.high is not None
        assert each.low < each.difference < each.high < 0
        assert (each.better, other.better) == ("A", "B")
        assert (other.low, other.high) == (pytest.approx(-each.high), pytest.approx(-each.low))


@pytest.mark.usefixtures("folders")
def test_a_method_is_not_told_apart_from_itself() -> None:
    found = methods("toy@1/good", "toy@1/good")
    assert (found.a, found.b) == ("good (A)", "good (B)")
    for each in found.differences:
        assert (each.difference, each.low, each.high, each.better) == (0.0, 0.0, 0.0, "")


def test_intervals_are_those_of_paired_replicates(tmp_path: Path, protocol: LoadedBenchmark) -> None:
    """Two methods whose replicates differ by a constant: each is uncertain, their difference is not."""
    columns = leaderboard_of(protocol).columns
    a = _scores(columns, "a", 1.0)
    b = _scores(columns, "b", 1.0)
    shifted = {name: a.arrays[name] + 0.001 for name in columns}
    for each in compare_entries(protocol, a, type(b)(b.method, shifted, 1, 1)).differences:
        assert (each.low, each.high) == (pytest.approx(-1.0), pytest.approx(-1.0))
        assert each.better == "A"


def test_replicates_without_a_value_are_left_out(protocol: LoadedBenchmark) -> None:
    columns = leaderboard_of(protocol).columns
    a, b = (_scores(columns, name, quality) for name, quality in (("a", 1.0), ("b", 3.0)))
    holed = {name: np.where(np.arange(61) == 5, np.nan, values) for name, values in a.arrays.items()}
    found = compare_entries(protocol, type(a)(a.method, holed, 1, 1), b)
    assert all(each.low is not None and np.isfinite(each.low) and each.better == "A" for each in found.differences)


def test_a_run_beside_a_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data import catalog

    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    write_workshop(tmp_path)
    run = evaluate(tmp_path, GAP)
    protocol = load_protocol(tmp_path / "leaderboards" / "toy" / "1" / "benchmark.toml")
    write_submission(tmp_path, protocol, "oracle-like", 9.0)
    found = methods(run.folder, "toy@1/oracle-like")
    assert (found.a, found.b) == ("gap", "oracle-like")
    assert {each.better for each in found.differences} == {"B"}


def test_methods_within_a_pool_are_compared_as_if_both_were_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.boards import compare as module
    from tests.tracks.attribution.support import BENCHMARK, write_benchmark

    protocol = load_protocol(
        write_benchmark(tmp_path, BENCHMARK.replace('["input-x-gradient", "saliency"]', '["a", "b", "c"]'))
    )
    pool = [_maps(name, quality) for name, quality in {"a": 1.0, "b": 2.0, "c": 3.0}.items()]
    monkeypatch.setattr(module, "read_standings", lambda protocol: _Standings(tuple(pool)))
    found = compare_entries(protocol, pool[2], _maps("new", 0.1))
    assert {(each.a, each.b, each.better) for each in found.differences} == {(1.0, 3.5, "A")}
    # Ranks 1 and 4 in every resample, of which half a place is owed to joining, and said so.
    assert "half a rank is taken off" in found.note
    assert {(each.difference, each.low, each.high) for each in found.differences} == {(-2.5, -2.5, -2.5)}
    assert {each.better for each in compare_entries(protocol, pool[1], pool[1]).differences} == {""}


class _Standings:
    def __init__(self, entries: tuple[object, ...]) -> None:
        self.entries = entries


def test_boards_of_two_versions(protocol: LoadedBenchmark, folders: dict[str, Path]) -> None:
    write_board(build_board(protocol), protocol)
    second = protocol.path.parent.parent / "2"
    shutil.copytree(protocol.path.parent, second)
    path = second / "benchmark.toml"
    path.write_text(path.read_text().replace("version = 1\nt", "version = 2\nt"))
    successor = load_protocol(path)
    write_board(build_board(successor), successor)
    found = compare("toy@1", "toy@2")
    assert isinstance(found, BoardComparison)
    assert [change.text for change in found.changes] == [
        "was removed (it had rank 1)",
        "was removed (it had rank 2)",
    ]


@pytest.mark.usefixtures("folders")
def test_what_cannot_be_compared_is_said(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing is no folder of a run or submission.*boards: toy@1\."):
        compare("nothing", "toy@1/good")
    with pytest.raises(UsageError, match="holds no sealed run"):
        compare(str(tmp_path), "toy@1/good")
    with pytest.raises(UsageError, match="has no board yet"):
        compare("toy@1", "toy@1")
    folder = tmp_path / "submissions" / "toy@1" / "good"
    told(folder, benchmark_hash="1" * 64)
    with pytest.raises(UsageError, match=r"was made for another state of toy@1"):
        compare("toy@1/good", "toy@1/poor")
    (folder / "submission.toml").write_text("x = [")
    with pytest.raises(UsageError, match="is not valid TOML"):
        compare("toy@1/good", "toy@1/poor")


def test_the_entry_is_that_of_the_board(protocol: LoadedBenchmark, folders: dict[str, Path]) -> None:
    entry = submission_entry(protocol, read_submission(folders["good"]))
    again = submission_entry(protocol, read_submission(folders["good"]))
    assert entry.arrays.keys() == again.arrays.keys()
    assert all(np.array_equal(entry.arrays[name], again.arrays[name]) for name in entry.arrays), "cached and computed"
