"""Which rows of a board a run is shown beside."""

from __future__ import annotations

import pytest

from harness.data.catalog import find_protocol
from harness.reports import rivals
from harness.reports.rivals import board_rows, rows_of
from harness.spec.board import Board, Cell, Row
from harness.spec.method import ConfidenceMethod

NAMES = ("a", "b", "c", "d", "e")


def row(name, value, rank=None, reference=False):
    cell = Cell(value=value, low=value, high=value, rank=rank, rank_low=rank, rank_high=rank)
    return Row(method=name, version="1", reference=reference, units="1/1", cells={"mean": cell})


def board(*rows, lower=True):
    return Board(
        benchmark="toy@1",
        benchmark_hash="0" * 64,
        metric="augrc",
        title="AUGRC",
        explanation="",
        lower_is_better=lower,
        scale=1.0,
        columns=("mean",),
        groups={"mean": 1},
        rows=rows,
        unranked=(),
    )


def chosen(found):
    return {role: each.method for role, each in found.items()}


@pytest.mark.parametrize(("lower", "best"), [(True, "a"), (False, "e")])
def test_best_median_and_simplest(lower, best):
    rows = [row(name, place, rank=place + 1) for place, name in enumerate(NAMES)]
    found = rows_of(board(*rows, lower=lower), "d", "mine")
    assert chosen(found) == {"best": best, "median": "c", "simplest": "d"}


def test_the_run_itself_and_references_are_no_rivals():
    rows = [
        row("oracle", 0.0, reference=True),
        *(row(name, place + 1.0, rank=place + 1) for place, name in enumerate(NAMES)),
    ]
    assert chosen(rows_of(board(*rows), "oracle", "a")) == {"best": "b", "median": "d"}


def test_rows_that_wait_for_a_rank_are_taken_where_there_are_no_others():
    waiting = [row("x", 0.5), row("y", 1.5)]
    assert chosen(rows_of(board(*waiting), "y", "mine")) == {"best": "x", "median": "y"}
    assert chosen(rows_of(board(*waiting, row("z", 9.0, rank=1)), "x", "mine")) == {"best": "z", "simplest": "x"}


def test_a_row_has_one_role():
    assert chosen(rows_of(board(row("a", 1.0, rank=1)), "a", "mine")) == {"best": "a"}


def test_an_empty_board_has_no_rivals():
    assert rows_of(board(), "msr", "mine") == {}


def mine():
    about = {"origin": "file", "target": "mine", "symbol": "mine", "source_sha256": "0" * 64}
    return ConfidenceMethod(task="confidence", name="mine", version="1", **about)


def test_rivals_of_a_bundled_board_answer_in_its_units():
    protocol = find_protocol("confidence-mnist@2")
    found = board_rows(protocol, mine())
    assert found.missing == ""
    assert [each.role for each in found.rivals] == ["best", "median", "simplest"]
    track, answers = found.rivals[-1].open()
    assert found.rivals[-1].name == track.method.name == "msr"
    assert {unit.study for unit in answers} == {study.id for study in protocol.benchmark.studies}


def test_submissions_that_are_not_at_hand_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(rivals, "submissions_folder", lambda name: tmp_path / name)
    found = board_rows(find_protocol("confidence-mnist@2"), mine())
    assert found.rivals == ()
    assert "not at hand" in found.missing
    assert "msr" in found.missing


def test_a_board_without_rows_says_so():
    found = board_rows(find_protocol("confidence-fdshifts@3"), mine())
    assert found.rivals == ()
    assert "no row to compare with" in found.missing
