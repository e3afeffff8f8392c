"""Boards of one's own runs: the numbers of official boards, and a reason for every run that has no row."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.api import Result
from harness.boards.build import build_board, write_board
from harness.boards.local import LocalBoard, local_board
from harness.boards.place import place_of
from harness.boards.render import board_markdown, units_text
from harness.cli.render import print_board
from harness.data.catalog import LoadedBenchmark, find_protocol, load_protocol
from harness.execution.evaluate import Request, prepare, run
from harness.execution.run_result import RunResult
from harness.reports.local_board import write_local_board
from harness.reports.run_report import write_run_report
from harness.spec.errors import UsageError
from tests.boards.support import record, write_checkout, write_submission
from tests.boards.workshop import GAP, forged, store, write_workshop
from tests.conftest import Made
from tests.reports.browser import ask, needs_browser

pytestmark = pytest.mark.usefixtures("in_this_process")
LARGEST = GAP.replace("gap", "largest").replace("top[:, 0] - top[:, 1]", "outputs.logits.amax(dim=1)")


def evaluate(folder: Path, source: str, name: str, benchmark: str = "my.toml", **options: Any) -> RunResult:
    """A sealed run in `runs` of a method in `<name>.py`."""
    (folder / f"{name}.py").write_text(source)
    request = Request(str(folder / f"{name}.py"), str(folder / benchmark), folder / "runs", device="cpu", **options)
    return run(prepare(request))


@pytest.fixture
def own(made_once: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `my.toml`, which no checkout knows, and runs of the methods gap and largest."""

    def fill(root: Path) -> None:
        folder = write_checkout(root / "checkout").path.parent
        for path in folder.iterdir():
            shutil.copy(path, root / path.name)
        (root / "benchmark.toml").rename(root / "my.toml")
        shutil.rmtree(root / "checkout")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(root / "cache"))
            for name, source in {"gap": GAP, "largest": LARGEST}.items():
                evaluate(root, source, name)

    root = Path(shutil.copytree(made_once("local-board", fill), tmp_path / "own"))
    monkeypatch.setenv("HARNESS_CACHE", str(root / "cache"))
    return root


def built(root: Path) -> LocalBoard:
    return local_board(load_protocol(root / "my.toml"), root / "runs")


def run_of(root: Path, name: str) -> RunResult:
    (folder,) = root.glob(f"runs/toy-1-{name}-*")
    return RunResult.open(folder)


def reasons(local: LocalBoard) -> dict[str, str]:
    return {each.method: each.reason for each in local.board.unranked}


def refused(root: Path) -> str:
    with pytest.raises(UsageError) as error:
        built(root)
    return str(error.value)


def test_its_numbers_are_those_of_the_same_methods_as_submissions(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    write_workshop(checkout)
    monkeypatch.setattr("harness.data.catalog._PACKAGE", checkout / "harness")
    for name, source in {"gap": GAP, "largest": LARGEST}.items():
        store(checkout, source, name)
    official = build_board(load_protocol(checkout / "leaderboards" / "toy" / "1" / "benchmark.toml"), all_tiers=True)
    mine = built(own).board
    assert len(official.rows) == 2
    assert [(row.method, row.cells, row.units) for row in mine.rows] == [
        (row.method, row.cells, row.units) for row in official.rows
    ]
    assert (mine.columns, mine.groups, mine.tables) == (official.columns, official.groups, official.tables)


def test_the_same_runs_give_the_same_files(own: Path) -> None:
    protocol, found = load_protocol(own / "my.toml"), []
    for _ in range(2):
        paths = write_local_board(built(own), protocol, own / "board")
        found.append([Path(path).read_bytes() for path in paths])
    assert found[0] == found[1]
    assert [Path(path).name for path in paths] == ["board.html", "board.json", "board.csv", "board.md"]
    links = re.findall(r"\]\(([^)]*)\)", (own / "board" / "board.md").read_text())
    assert len(links) == 4
    assert all((own / "board" / link).exists() for link in links), "rows link to their runs, from wherever the board is"


def test_a_rehearsal_and_a_run_of_another_state_are_named(own: Path) -> None:
    limited = evaluate(own, GAP.replace("gap", "quick"), "quick", limit=50)
    (own / "my.toml").write_text((own / "my.toml").read_text().replace("replicates = 200", "replicates = 150"))
    newer = evaluate(own, GAP, "gap")
    local = built(own)
    assert [row.method for row in local.board.rows] == ["gap"]
    assert local.board.rows[0].folder == newer.folder.name
    other = f"{run_of(own, 'largest').folder} was made for another state of toy@1; evaluate again"
    assert reasons(local)["largest"] == other
    assert f"{limited.folder} was made for another state" in reasons(local)["quick"]
    (own / "my.toml").write_text((own / "my.toml").read_text().replace("replicates = 150", "replicates = 200"))
    assert "is a rehearsal (made with --limit); run it again without a limit" in reasons(built(own))["quick"]


def test_a_changed_table_is_another_state_too(own: Path) -> None:
    table = own / "one.npz"
    table.write_bytes((own / "two.npz").read_bytes())
    assert "was made with other files or other versions of the metrics" in refused(own)
    newer = evaluate(own, GAP, "gap")
    local = built(own)
    assert [row.folder for row in local.board.rows] == [newer.folder.name]
    assert set(reasons(local)) == {"gap", "largest"}
    assert "is older than" in reasons(local)["gap"]


def test_failed_units_leave_a_method_without_a_rank(own: Path) -> None:
    broken = GAP.replace("gap", "broken").replace("return", 'assert "two" not in str(outputs); return')
    source = broken.replace('assert "two" not in str(outputs); ', "raise ValueError('no')\n    ")
    assert evaluate(own, source, "broken").failed
    local = built(own)
    assert [row.method for row in local.board.rows].count("broken") == 0
    assert reasons(local)["broken"] == (
        f"{run_of(own, 'broken').folder}: 0 of 4 units are there (failed: ValueError: no (line 7))"
    )


def test_a_run_with_some_units_is_listed_with_what_it_has(own: Path) -> None:
    def fail(fields: dict[str, Any]) -> None:
        for unit in fields["units"]:
            if unit["study"] == "shift":
                unit |= {"status": "failed", "reason": "it broke", "outputs": None, "records": []}

    forged(run_of(own, "gap"), fail)
    (left_out,) = built(own).board.unranked
    assert left_out.reason == f"{run_of(own, 'gap').folder}: 2 of 4 units are there (failed: it broke)"
    assert set(left_out.cells) == {"iid"}


def test_a_run_to_which_nothing_applies_says_why_in_its_report_and_on_the_board(own: Path) -> None:
    why = "this model does not offer features"

    def leave_out(fields: dict[str, Any]) -> None:
        for unit in fields["units"]:
            unit |= {"status": "not-applicable", "reason": why, "outputs": None, "records": []}
        fields["summary"] = []

    forged(run_of(own, "gap"), leave_out)
    result = run_of(own, "gap")
    assert reasons(built(own))["gap"] == f"{result.folder}: 0 of 4 units are there (not-applicable: {why})"
    page = write_run_report(result, load_protocol(own / "my.toml"), "it has no scores").read_text()
    assert page.count(f"not-applicable: {why}") == 1
    assert "4 of 4 units: " in page
    assert "<small>4 not applicable</small>" in page


def test_units_that_do_not_apply_stand_beside_those_that_are_scored(own: Path) -> None:
    row = next(row for row in built(own).board.rows if row.method == "gap")
    assert units_text(row) == "4/4"
    assert units_text(row.model_copy(update={"units": "6/6", "exempt": 12})) == "6/6, 12 do not apply"
    assert units_text(row.model_copy(update={"units": "6/6", "exempt": 1})) == "6/6, 1 does not apply"


def test_unfinished_and_damaged_runs_are_named(own: Path) -> None:
    gap, largest = run_of(own, "gap").folder, run_of(own, "largest").folder
    evaluate(own, GAP.replace("gap", "third"), "third")
    (gap / "run.json").unlink()
    (largest / "run.json").write_text("{}")
    local = built(own)
    assert [row.method for row in local.board.rows] == ["third"]
    found = reasons(local)
    assert found[gap.name] == f"{gap} is not finished; the command that began it goes on from there"
    assert "is not a sealed run" in found[largest.name]
    for outputs in run_of(own, "third").folder.glob("outputs/*"):
        outputs.write_bytes(b"")
    assert "use --fresh to run again" in refused(own)


def test_runs_of_other_benchmarks_are_counted(own: Path) -> None:
    other = (own / "my.toml").read_text().replace('id = "toy"', 'id = "another"', 1)
    (own / "other.toml").write_text(other)
    evaluate(own, GAP, "gap", "other.toml")
    (own / "runs" / "notes").mkdir()
    assert built(own).others == 1
    shutil.rmtree(own / "runs" / run_of(own, "gap").folder.name)
    shutil.rmtree(own / "runs" / run_of(own, "largest").folder.name)
    assert refused(own).startswith(f"{own / 'runs'} holds no run of toy@1 (1 of other benchmarks); make one: harness ")


def later(result: RunResult, started: str) -> None:
    """The run as if it had been started on another day."""
    path = result.folder / "run.json"
    document = json.loads(path.read_text())
    document["timing"]["started"] = started  # no part of what is sealed
    path.write_text(json.dumps(document))


def test_the_newest_run_of_a_method_has_its_row(own: Path) -> None:
    old = run_of(own, "gap")
    newer = evaluate(own, GAP + "\n# reads better\n", "gap")
    assert newer.folder != old.folder
    later(newer, "2030-01-02T00:00:00+00:00")
    local = built(own)
    assert {row.method: row.folder for row in local.board.rows}["gap"] == newer.folder.name
    assert reasons(local) == {
        "gap": f"{old.folder} is older than {newer.folder}; another version or name would keep both"
    }
    later(newer, "2000-01-02T00:00:00+00:00")
    assert {row.method: row.folder for row in built(own).board.rows}["gap"] == old.folder.name


def test_namesakes_are_told_apart_by_version_or_by_the_digits_of_their_folders(own: Path) -> None:
    evaluate(own, GAP.replace('"1.0"', '"2.0 Beta"'), "gap")
    assert {row.method for row in built(own).board.rows} == {"gap-1.0", "gap-2.0-beta", "largest"}
    third = evaluate(own, GAP + "\n# another\n", "elsewhere")  # the method gap, version 1.0, of another file
    names = {row.method: row.folder for row in built(own).board.rows}
    assert len(names) == 4
    digits = third.folder.name.rpartition("-")[2]
    assert names[f"gap-{digits}"] == third.folder.name
    assert names.keys() == {
        "largest",
        *(f"gap-{path.name.rpartition('-')[2]}" for path in own.glob("runs/toy-1-gap-*")),
    }


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, "is no folder; name the one in which runs are kept, or make a run: harness evaluate METHOD"),
        (lambda runs: [shutil.rmtree(path) for path in runs.iterdir()], "holds no run of toy@1; make one: harness "),
    ],
    ids=["no folder", "empty"],
)
def test_without_runs_it_says_how_to_make_one(spoil: Callable[[Path], object], sentence: str, own: Path) -> None:
    spoil(own / "runs")
    assert sentence in refused(own)
    assert f"--benchmark {own / 'my.toml'} --out {own / 'runs'}" in refused(own)


def test_a_run_in_place_of_their_folder_is_told_which_to_name(own: Path) -> None:
    folder = run_of(own, "gap").folder
    with pytest.raises(UsageError, match=re.escape(f"is a run itself; name the folder that holds it: {own / 'runs'}.")):
        local_board(load_protocol(own / "my.toml"), folder)


def test_beside_the_rows_of_an_official_board(
    protocol: LoadedBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, quality in {"poor": 0.0, "good": 50.0, "gap": 1.0, "msr": 1.0}.items():
        write_submission(tmp_path, protocol, name, quality)
    for name, source in {"mine": GAP.replace("gap", "mine"), "gap": GAP, "msr": GAP.replace("gap", "msr")}.items():
        (tmp_path / f"{name}.py").write_text(source)
        run(prepare(Request(str(tmp_path / f"{name}.py"), "toy@1", tmp_path / "runs", device="cpu")))
    run(prepare(Request("margin", "toy@1", tmp_path / "runs", device="cpu")))
    before = {path: path.read_bytes() for path in protocol.path.parent.iterdir()}
    local = local_board(protocol, tmp_path / "runs")
    rows = {row.method: row for row in local.board.rows}
    assert set(rows) == {"poor", "good", "mine", "gap", "msr", "margin"}
    assert rows["good"].cells["mean"].rank == 1
    assert not rows["good"].folder
    assert rows["gap"].folder.startswith("toy-1-gap-")
    assert reasons(local)["gap"] == "the board's own row, in whose place your run of the same method stands"
    write_local_board(local, protocol, tmp_path / "board")
    assert before == {path: path.read_bytes() for path in protocol.path.parent.iterdir()}, "nothing official changes"


def test_rows_of_all_tiers_are_ranked_as_the_place_of_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.data.catalog._PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    write_workshop(tmp_path)  # all files are pinned: ranks have to be earned
    protocol = find_protocol("toy@1")
    assert protocol.benchmark.ranked_tier == "reproduced"
    rows = {
        name: write_submission(tmp_path, protocol, name, each) for name, each in {"poor": 0.0, "good": 50.0}.items()
    }
    record(rows["poor"])
    write_board(build_board(protocol), protocol)
    result = evaluate(tmp_path, GAP.replace("gap", "mine"), "mine", "leaderboards/toy/1/benchmark.toml")
    places = place_of(result)
    assert not isinstance(places, str)
    local = local_board(protocol, tmp_path / "runs")
    by_name = {row.method: row for row in local.board.rows}
    assert {name: row.cells["mean"].rank for name, row in by_name.items()} == {"good": 1, "mine": 2, "poor": 3}
    for place in places:
        cell = by_name["mine"].cells[place.column]
        assert (place.rank, place.rank_low, place.rank_high, place.of) == (cell.rank, cell.rank_low, cell.rank_high, 3)
    assert "among them 1 row that waits to be reproduced." in places[-1].remark
    opened = Result.open(result.folder)
    assert isinstance(opened, Result)
    shown = opened.board()
    assert not isinstance(shown, str)
    assert list(shown["rank"]) == [place.rank for place in places]
    report = write_run_report(result, protocol, places).read_text()
    assert "<dd>2 of 3" in report
    assert places[-1].remark in report
    best = re.search(r"best:<br>(\w+)", report)
    assert best is not None
    assert best[1] == "good", "the rows beside it are of the same board"
    note = "Rows of all tiers are ranked here; on the official board, reproduced rows alone have ranks."
    page, *_ = write_local_board(local, protocol, tmp_path / "board")
    texts = [Path(page).read_text(), (tmp_path / "board" / "board.md").read_text()]
    print_board(local.board, protocol.benchmark)
    for text in (*texts, capsys.readouterr().out):
        assert note in text
        assert "--all-tiers" not in text
        assert all(tier in text for tier in ("your run", "recomputed", "reproduced"))
    official = build_board(protocol)
    assert {row.method: row.cells["mean"].rank for row in official.rows} == {"poor": 1, "good": None}
    assert note not in board_markdown(official, protocol.benchmark)


def test_the_name_of_another_method_on_the_official_board_is_not_taken(
    protocol: LoadedBenchmark, tmp_path: Path
) -> None:
    write_submission(tmp_path, protocol, "margin", 1.0)  # somebody's file, not the baseline
    run(prepare(Request("margin", "toy@1", tmp_path / "runs", device="cpu")))
    names = {row.method: row.folder for row in local_board(protocol, tmp_path / "runs").board.rows}
    (folder,) = (tmp_path / "runs").iterdir()
    assert names == {"margin": "", f"margin-{folder.name.rpartition('-')[2]}": folder.name}


@needs_browser
def test_the_page_opens_from_disk(own: Path, tmp_path: Path) -> None:
    text = (own / "my.toml").read_text().replace('title = "Toy"', "title = \"</script><b>'Toy'\"")
    (own / "my.toml").write_text(text)
    for name, source in {"gap": GAP, "largest": LARGEST}.items():
        evaluate(own, source, name)
    protocol = load_protocol(own / "my.toml")
    local = local_board(protocol, own / "runs")
    page = Path(write_local_board(local, protocol, own / "board")[0])
    script = """
      return { title: document.querySelector("h1").textContent,
        rows: [...document.querySelectorAll("#ranking tbody tr")].map((row) => row.cells[0].textContent.trim()),
        ranks: [...document.querySelectorAll("#ranking tbody tr")].map((row) => row.cells[1].textContent.trim()),
        dots: document.querySelectorAll("figure svg circle").length,
        left: document.querySelectorAll("#left-out li").length }"""
    answer = ask(page, script)
    assert answer["problems"] == []
    assert answer["loaded"] == []
    found, board = answer["found"], local.board
    assert found["title"] == "</script><b>'Toy'"
    assert found["rows"] == [row.method for row in board.rows]
    assert found["ranks"] == [str(row.cells["mean"].rank) for row in board.rows]
    assert found["dots"] == len(board.rows) * len(board.columns)
    assert found["left"] == 2, "the runs under the title before"
