"""The verbs about boards, on a checkout in miniature: what they print, and with which code they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from harness.boards.build import read_board
from harness.cli import board, cite, compare
from harness.data import catalog
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.leaderboard import Leaderboard
from tests.boards.support import write_checkout, write_submission
from tests.boards.test_diff import git
from tests.boards.test_rows import told
from tests.pneumonia import fetch_pneumonia

APP = typer.Typer()
APP.add_typer(board.app, name="board")
APP.command("cite")(cite.cite)
APP.command("compare")(compare.compare)


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    protocol = write_checkout(tmp_path)
    for name, quality in {"poor": 0.3, "good": 2.0}.items():
        write_submission(tmp_path, protocol, name, quality)
    return protocol


def run(*arguments: str, code: int = 0) -> str:
    done: Result = CliRunner().invoke(APP, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_build_check_lock_and_drift(protocol: LoadedBenchmark) -> None:
    assert "board.json is missing; run: harness board build toy@1" in run("board", "check", "toy@1", code=1)
    assert "good" in run("board", "build", "toy@1", "--workers", "1")
    assert "and not locked; run: harness board lock toy@1" in run("board", "check", "--all", code=1)
    assert "toy@1 is locked now" in run("board", "lock", "toy@1")
    assert "toy@1 is locked already" in run("board", "lock", "toy@1")
    assert run("board", "check", "--all") == "1 board as built, released versions unchanged.\n"
    page = protocol.path.parent / "board.md"
    page.write_text(page.read_text().replace("# Toy", "# My toy"))
    assert f"{page}, line 1: there is '# My toy (toy@1)', but the build gives '# Toy (toy@1)'" in run(
        "board", "check", "toy@1", code=1
    )
    written = run("board", "build", "--all").split()
    assert [Path(path).name for path in written] == ["board.json", "board.csv", "board.md"]
    run("board", "check", "toy@1")


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("arguments", [["build"], ["check"], ["check", "toy@1", "--all"]])
def test_one_benchmark_or_all(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"name one benchmark \(id@version\), or give --all\."):
        run("board", *arguments)


def test_diff_since_a_revision(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    run("board", "build", "toy@1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "leaderboards")
    git(tmp_path, "commit", "-qm", "board")
    assert run("board", "diff", "HEAD") == "toy@1: no row changed.\n"
    write_submission(tmp_path, protocol, "great", 4.0)
    run("board", "build", "toy@1")
    told_ = run("board", "diff", "HEAD", "toy@1")
    assert told_.splitlines() == [
        "toy@1:",
        "  - good moved from rank 1 to 2: great now above it",
        "  - great came: rank 1",
        "  - poor moved from rank 2 to 3: great now above it",
    ]
    assert "  great came: rank 1" in run("compare", "HEAD", "toy@1")
    with pytest.raises(UsageError, match="holds no revision 'nowhere'"):
        run("board", "diff", "nowhere")


@pytest.mark.usefixtures("protocol")
def test_export_prints_or_writes(tmp_path: Path) -> None:
    run("board", "build", "toy@1")
    assert r"\toprule" in run("board", "export", "toy@1", "--format", "latex")
    out = tmp_path / "board.parquet"
    assert run("board", "export", "toy@1", "--format", "parquet", "--out", str(out)).strip() == str(out)
    assert out.read_bytes().startswith(b"PAR1")
    for arguments, sentence in {
        ("--format", "parquet"): "parquet is not text; add --out FILE.",
        ("--format", "csw"): "no format is called 'csw'; did you mean csv",
        ("--out", str(tmp_path / "no" / "where")): "does not exist; make it, or name another file.",
    }.items():
        with pytest.raises(UsageError) as error:
            run("board", "export", "toy@1", *arguments)
        assert sentence in str(error.value)


def test_a_damaged_board_is_said(protocol: LoadedBenchmark) -> None:
    (protocol.path.parent / "board.json").write_text("{}")
    for arguments in (["board", "show", "toy@1"], ["board", "export", "toy@1"], ["compare", "toy@1", "toy@1"]):
        with pytest.raises(IntegrityError, match=r"board\.json is not a board: .*; build it again\."):
            run(*arguments)


@pytest.mark.usefixtures("protocol")
def test_cite_and_compare() -> None:
    assert "for metric augrc" in run("cite", "toy@1/good")
    table = run("compare", "toy@1/good", "toy@1/poor")
    assert "A: good, B: poor (toy@1): AUGRC × 1000 ↓" in table
    assert "95 % interval" in table
    found = json.loads(run("compare", "toy@1/good", "toy@1/poor", "--json"))
    assert [each["better"] for each in found["differences"]] == ["A", "A", "A"]


@pytest.mark.usefixtures("protocol")
def test_methods_without_a_common_column_are_said_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leaderboard, "compared", lambda self, entries: {})
    said = run("compare", "toy@1/good", "toy@1/poor")
    assert said == "good and poor have no column of toy@1 in which both have a score.\n"


def test_the_terminal_shows_published_rows_and_whom_it_does_not_rank(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    folder = protocol.path.parent
    (folder / "published.csv").write_text("method,column,value,source,std\nold,iid,0.1,A paper 2020,0.01\n")
    told(write_submission(tmp_path, protocol, "other", 1.0), benchmark_hash="1" * 64)
    shown = run("board", "build", "toy@1")
    assert "As published, not ranked together" in shown
    assert "100.0 ±10.0" in shown
    assert "source: A paper 2020" in shown
    assert "not ranked: other: made for another state of the benchmark (its hash differs)" in shown
    assert "all rows: units 4/4, tier recomputed" in shown


def test_a_wide_board_fits_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirteen columns of the paper-scale benchmark, with and without its published numbers; nothing is cut."""
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("query-realistic-al@2", "confidence-mnist@2", "attribution-mnist@1"):
        shown = run("board", "show", name)
        sentences = ("source:", "not ranked:", "‡ measured with")  # which terminals wrap
        tables = [line for line in shown.splitlines() if not line.startswith(sentences)]
        assert max(map(len, tables)) <= 100
        assert "…" not in shown


def test_the_boards_of_the_repository_are_what_their_files_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_pneumonia(tmp_path, monkeypatch, "breastmnist")
    assert "boards as built, released versions unchanged" in run("board", "check", "--all")


def test_a_board_of_a_withdrawn_benchmark_says_so() -> None:
    assert "query-realistic-al@1 is withdrawn, because" in " ".join(
        run("board", "show", "query-realistic-al@1").split()
    )
    with pytest.raises(UsageError, match=r"attribution-latec@1 is withdrawn, because .*; it has no board\.$"):
        read_board(find_protocol("attribution-latec@1"))


def test_tables_behind_the_ranking_are_shown(protocol: LoadedBenchmark, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.boards.build import build_board
    from harness.cli.render import print_board
    from harness.spec.board import Table, TableRow

    row = TableRow(method="good", values=(None, 12.34))
    table = Table(title="Who beats whom", text="Share in %.", columns=("1", "lost"), rows=(row,))
    shown = build_board(protocol).model_copy(update={"tables": (table,)})
    print_board(shown, protocol.benchmark)
    text = capsys.readouterr().out
    assert "Who beats whom" in text
    assert "1 good" in text
    assert "12.3" in text


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--all", "--runs", "runs"], "--runs makes the board of one benchmark; name it in place of --all."),
        (["toy@1", "--out", "board"], "--out and --open are for boards of runs; name their folder with --runs."),
        (["toy@1", "--open"], "--out and --open are for boards of runs; name their folder with --runs."),
        (
            ["toy@1", "--runs", "nowhere"],
            "nowhere is no folder; .* harness evaluate METHOD --benchmark toy@1 --out nowhere",
        ),
    ],
)
def test_a_board_of_runs_is_of_one_benchmark_with_runs(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        run("board", "build", *words)


def test_a_bundled_benchmark_named_by_its_file_is_no_benchmark_of_ones_own(protocol: LoadedBenchmark) -> None:
    assert protocol.bundled
    run("board", "build", str(protocol.path))
    run("board", "show", str(protocol.path))
    assert (protocol.path.parent / "board.json").is_file()
