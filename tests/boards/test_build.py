"""Boards are a pure function of files: right, byte-stable, and fair to everybody."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.boards.build import build_board, write_board
from harness.data.catalog import LoadedBenchmark
from harness.spec.board import Board, Row
from tests.boards.support import MODELS, STUDIES, write_submission, wrong

QUALITIES = {"poor": 0.3, "fair": 1.0, "good": 2.0, "great": 3.5}


@pytest.fixture
def submitted(protocol: LoadedBenchmark, tmp_path: Path) -> Path:
    for name, quality in QUALITIES.items():
        write_submission(tmp_path, protocol, name, quality)
    return tmp_path


def row(board: Board, name: str) -> Row:
    return next(each for each in board.rows if each.method == name)


def brute_force_augrc(confidence: np.ndarray, residual: np.ndarray) -> float:
    """Mean over samples of the risk that remains if all less confident ones are rejected; no ties here."""
    order = np.argsort(-confidence)
    risk = np.concatenate([[0.0], np.cumsum(residual[order])]) / len(order)
    return float(np.mean((risk[1:] + risk[:-1]) / 2))


@pytest.mark.usefixtures("submitted")
def test_scores_are_those_of_the_stored_outputs(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    board = build_board(protocol)
    for name in QUALITIES:
        with np.load(tmp_path / "submissions" / "toy@1" / name / "outputs.npz", allow_pickle=False) as stored:
            expected = {
                study: 1000
                * np.mean(
                    [brute_force_augrc(stored[f"{m}--{study}--confidence"], wrong(protocol, m, study)) for m in MODELS]
                )
                for study in STUDIES
            }
        cells = row(board, name).cells
        for study, value in expected.items():
            assert cells[study].value == pytest.approx(value, rel=1e-5)
            assert cells[study].low < value < cells[study].high
        assert cells["mean"].value == pytest.approx(np.mean(list(expected.values())), rel=1e-5)


@pytest.mark.usefixtures("submitted")
def test_ranks_follow_quality_and_groups_can_be_told_apart(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    assert [each.method for each in board.rows] == ["great", "good", "fair", "poor"]
    assert [each.cells["mean"].group for each in board.rows] == [1, 2, 3, 4]
    assert board.groups["mean"] == 4


@pytest.mark.usefixtures("submitted")
def test_the_same_bytes_every_time(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    def built() -> list[bytes]:
        return [Path(path).read_bytes() for path in write_board(build_board(protocol), protocol)]

    first = built()
    assert built() == first, "from the cache"
    shutil.rmtree(tmp_path / "cache")
    assert built() == first, "without the cache"
    for name in QUALITIES:  # other order on disk
        folder = tmp_path / "submissions" / "toy@1" / name
        shutil.copytree(folder, tmp_path / "moved")
        shutil.rmtree(folder)
        shutil.move(tmp_path / "moved", folder)
    assert built() == first, "in another order of files"


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize("quality", [0.0, 1.5, 9.0])
def test_a_new_row_moves_others_only_by_the_count_above(
    protocol: LoadedBenchmark, tmp_path: Path, quality: float
) -> None:
    before = build_board(protocol)
    write_submission(tmp_path, protocol, "newcomer", quality)
    after = build_board(protocol)
    new = row(after, "newcomer")
    for old in before.rows:
        now = row(after, old.method)
        for column in before.columns:
            assert (now.cells[column].value, now.cells[column].low, now.cells[column].high) == (
                old.cells[column].value,
                old.cells[column].low,
                old.cells[column].high,
            )
            above = new.cells[column].value < old.cells[column].value
            assert now.cells[column].rank == (old.cells[column].rank or 0) + above


@pytest.mark.usefixtures("submitted")
def test_reference_rows_take_no_rank_and_change_none(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    before = build_board(protocol)
    write_submission(tmp_path, protocol, "bound", 50.0, reference=True)
    after = build_board(protocol)
    assert all(cell.rank is None and cell.group is None for cell in row(after, "bound").cells.values())
    assert [each for each in after.rows if not each.reference] == list(before.rows)


def reasons(protocol: LoadedBenchmark) -> dict[str, str]:
    return {each.method: each.reason for each in build_board(protocol).unranked}


def test_an_incomplete_submission_is_listed_and_not_ranked(protocol: LoadedBenchmark, submitted: Path) -> None:
    write_submission(submitted, protocol, "half", 9.0, units=2)
    assert reasons(protocol) == {"half": "2 of 4 units are there"}
    assert build_board(protocol).rows[0].method == "great"


def test_outputs_changed_after_submission_are_not_ranked(protocol: LoadedBenchmark, submitted: Path) -> None:
    outputs = submitted / "submissions" / "toy@1" / "poor" / "outputs.npz"
    shutil.copy(submitted / "submissions" / "toy@1" / "great" / "outputs.npz", outputs)
    assert "is not the file that submission.toml names" in reasons(protocol)["poor"]


def test_a_submission_to_another_state_of_the_benchmark_is_not_ranked(
    protocol: LoadedBenchmark, submitted: Path
) -> None:
    about = submitted / "submissions" / "toy@1" / "fair" / "submission.toml"
    about.write_text(about.read_text().replace(protocol.hash, "1" * 64))
    assert "hash" in reasons(protocol)["fair"]


def test_a_broken_file_is_not_ranked(protocol: LoadedBenchmark, submitted: Path) -> None:
    (submitted / "submissions" / "toy@1" / "good" / "submission.toml").write_text("method = [")
    assert "not valid TOML" in reasons(protocol)["good"]


def test_a_submission_in_the_wrong_folder_is_not_ranked(protocol: LoadedBenchmark, submitted: Path) -> None:
    folder = submitted / "submissions" / "toy@1"
    shutil.move(folder / "good", folder / "better")
    assert "the folder is called better" in reasons(protocol)["better"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_stored_nan_never_reaches_a_rank(protocol: LoadedBenchmark, submitted: Path, bad: float) -> None:
    from harness.storage import file_id, read_arrays, write_arrays

    folder = submitted / "submissions" / "toy@1" / "good"
    arrays = read_arrays(folder / "outputs.npz")
    arrays["one--iid--confidence"][0] = bad
    old = file_id(folder / "outputs.npz")
    write_arrays(folder / "outputs.npz", arrays)
    about = folder / "submission.toml"
    about.write_text(about.read_text().replace(old, file_id(folder / "outputs.npz")))
    assert "NaN or infinite" in reasons(protocol)["good"]


@pytest.mark.usefixtures("protocol")
def test_an_empty_board_is_a_board(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    assert board.rows == ()
    assert write_board(board, protocol)
