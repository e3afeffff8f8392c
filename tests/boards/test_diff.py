"""Who moved and why; the log of a board; boards of another revision."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from harness.boards.build import board_files, build_board, read_board, write_board
from harness.boards.compare import BoardComparison, compare
from harness.boards.diff import board_at, board_changes, changes_section
from harness.boards.submissions import read_about
from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.boards.support import write_submission
from tests.boards.test_rows import told

FIRST, LATER = date(2026, 1, 1), date(2026, 2, 2)


@pytest.fixture
def folders(protocol: LoadedBenchmark, tmp_path: Path) -> dict[str, Path]:
    made = {name: write_submission(tmp_path, protocol, name, q) for name, q in {"poor": 0.3, "good": 2.0}.items()}
    for folder in made.values():
        told(folder, submitted=FIRST)
    return made


def texts(protocol: LoadedBenchmark, before: object) -> dict[str, str]:
    return {each.method: f"{each.kind}: {each.text}" for each in board_changes(before, build_board(protocol))}  # type: ignore[arg-type]


@pytest.mark.usefixtures("folders")
def test_a_newcomer_moves_those_below_and_is_named(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    before = build_board(protocol)
    assert board_changes(before, build_board(protocol)) == ()
    write_submission(tmp_path, protocol, "great", 4.0)
    assert texts(protocol, before) == {
        "great": "came: came: rank 1",
        "good": "moved: moved from rank 1 to 2: great now above it",
        "poor": "moved: moved from rank 2 to 3: great now above it",
    }


def test_a_removed_and_an_unreadable_submission(protocol: LoadedBenchmark, folders: dict[str, Path]) -> None:
    before = build_board(protocol)
    shutil.rmtree(folders["good"])
    (folders["poor"] / "submission.toml").write_text("method = [")
    found = texts(protocol, before)
    assert found["good"] == "went: was removed (it had rank 1)"
    assert found["poor"].startswith("went: takes no rank any more: ")
    assert "is not valid TOML" in found["poor"]
    assert found["poor"].endswith("(it had rank 2)")


def test_a_changed_submission_is_the_reason(
    protocol: LoadedBenchmark, folders: dict[str, Path], tmp_path: Path
) -> None:
    before = build_board(protocol)
    shutil.rmtree(folders["poor"])
    folder = write_submission(tmp_path, protocol, "poor", 5.0)
    told(folder, method=read_about(folder).method.model_copy(update={"version": "2.0"}))
    found = texts(protocol, before)
    assert found["poor"] == "moved: moved from rank 2 to 1: its submission changed (version 1.0, now 2.0)"
    assert found["good"] == "moved: moved from rank 1 to 2: poor now above it"


def test_a_changed_benchmark_is_the_reason(protocol: LoadedBenchmark, folders: dict[str, Path]) -> None:
    before = build_board(protocol)
    protocol.path.write_text(protocol.path.read_text().replace("replicates = 200", "replicates = 200\nseed = 1"))
    changed = load_protocol(protocol.path)
    for folder in folders.values():
        told(folder, benchmark_hash=changed.hash)
    assert board_changes(before, build_board(changed)) == (), "the draws changed, no score and no rank"
    (row, *rest) = before.rows
    cells = {name: cell.model_copy(update={"value": cell.value + 1}) for name, cell in row.cells.items()}
    other = before.model_copy(update={"rows": (row.model_copy(update={"cells": cells}), *rest)})
    assert texts(changed, other)["good"] == "changed: kept its place with other numbers: the benchmark changed"
    assert (
        "its numbers changed, its submission did not"
        in texts(changed, other.model_copy(update={"benchmark_hash": changed.hash}))["good"]
    )


def test_the_log_says_each_change_once_with_the_date_of_its_submission(
    protocol: LoadedBenchmark, folders: dict[str, Path], tmp_path: Path
) -> None:
    log = protocol.path.parent / "CHANGES.md"
    log.write_text("# Changes of toy\n\n## 1\nFirst version.\n")
    write_board(build_board(protocol), protocol)
    first = log.read_text()
    assert first.endswith("## 1\nFirst version.\n\n## Board of 2026-01-01\nFirst board: 2 methods, 0 reference rows.\n")
    write_board(build_board(protocol), protocol)
    assert log.read_text() == first, "a second build adds nothing"
    told(write_submission(tmp_path, protocol, "great", 4.0), submitted=LATER)
    write_board(build_board(protocol), protocol)
    second = log.read_text()
    assert second.startswith(first)
    assert (
        "\n## Board of 2026-02-02\n- good moved from rank 1 to 2: great now above it\n- great came: rank 1\n" in second
    )
    write_board(build_board(protocol), protocol)
    assert log.read_text() == second
    shutil.rmtree(folders["good"])
    write_board(build_board(protocol), protocol)
    assert log.read_text().endswith(
        "- good was removed (it had rank 2)\n- poor moved from rank 3 to 2: good no longer above it\n"
    )


def test_a_build_that_was_cut_off_after_the_log_does_not_say_it_twice(
    protocol: LoadedBenchmark, folders: dict[str, Path], tmp_path: Path
) -> None:
    write_board(build_board(protocol), protocol)
    old = (protocol.path.parent / "board.json").read_bytes()
    write_submission(tmp_path, protocol, "great", 4.0)
    write_board(build_board(protocol), protocol)
    log = (protocol.path.parent / "CHANGES.md").read_text()
    (protocol.path.parent / "board.json").write_bytes(old)
    write_board(build_board(protocol), protocol)
    assert (protocol.path.parent / "CHANGES.md").read_text() == log


@pytest.mark.usefixtures("folders")
def test_a_damaged_board_is_built_again(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    write_board(board, protocol)
    path = protocol.path.parent / "board.json"
    for damage in (b"{", b"[]", b'{"benchmark": 3}'):
        path.write_bytes(damage)
        with pytest.raises(IntegrityError, match=r"board\.json"):
            read_board(protocol)
        write_board(board, protocol)
        assert read_board(protocol) == board


def test_an_empty_board_has_no_log(protocol: LoadedBenchmark) -> None:
    assert changes_section(None, build_board(protocol)) == ""
    write_board(build_board(protocol), protocol)
    assert not (protocol.path.parent / "CHANGES.md").exists()


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def checkout(protocol: LoadedBenchmark, folders: dict[str, Path], tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "submissions", "leaderboards/toy/1/benchmark.toml")
    git(tmp_path, "commit", "-qm", "empty")
    git(tmp_path, "tag", "before")
    write_board(build_board(protocol), protocol)
    git(tmp_path, "add", "leaderboards")
    git(tmp_path, "commit", "-qm", "board")
    return tmp_path


def test_the_board_of_a_revision(protocol: LoadedBenchmark, checkout: Path) -> None:
    first = build_board(protocol)
    assert board_at("HEAD", protocol) == first
    assert board_at("before", protocol) is None
    write_submission(checkout, protocol, "great", 4.0)
    write_board(build_board(protocol), protocol)
    assert board_at("HEAD", protocol) == first, "whatever lies in the checkout now"
    found = compare("HEAD", "toy@1")
    assert isinstance(found, BoardComparison)
    assert [change.method for change in found.changes] == ["good", "great", "poor"]
    with pytest.raises(UsageError, match=r"toy@1 has no board at before\."):
        compare("before", "toy@1")


def test_an_unknown_revision_and_a_damaged_board_of_one(protocol: LoadedBenchmark, checkout: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no revision 'nowhere'; name a commit, branch or tag \(git log\)\."):
        board_at("nowhere", protocol)
    for hostile in ("--help", "HEAD; rm -rf .", ""):
        with pytest.raises(UsageError, match="holds no revision"):
            board_at(hostile, protocol)
    (protocol.path.parent / "board.json").write_text("{}")
    git(checkout, "commit", "-qam", "damage")
    with pytest.raises(IntegrityError, match=r"leaderboards/toy/1/board\.json of revision HEAD is not a board"):
        board_at("HEAD", protocol)


@pytest.mark.usefixtures("folders")
def test_no_checkout(protocol: LoadedBenchmark) -> None:
    with pytest.raises(UsageError, match="is in no git checkout, so it has no earlier boards"):
        board_at("HEAD", protocol)


@pytest.mark.usefixtures("folders")
def test_a_board_of_an_older_layout_is_read(protocol: LoadedBenchmark) -> None:
    """Rows of boards built before tiers and costs were shown: nothing of that counts as a change."""
    import json

    board = build_board(protocol)
    document = json.loads(board_files(board, protocol)["board.json"])
    for row in document["rows"]:
        for name in ("tier", "as_reported", "cost", "submitted", "folder", "state", "oracle"):
            del row[name]
    (protocol.path.parent / "board.json").write_text(json.dumps(document))
    assert board_changes(read_board(protocol), board) == ()
