"""A board for papers and programs, and what must be cited with it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from harness.boards.build import build_board, read_board, write_board
from harness.boards.cite import CitedWork, bibtex, bibtex_key, cite, latex
from harness.boards.exports import FORMATS, board_latex, export_board
from harness.boards.submissions import read_about
from harness.data.catalog import LoadedBenchmark
from harness.metrics.facts import metric_facts
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.spec.submission import Cost
from tests.boards.support import write_submission
from tests.boards.test_rows import told


@pytest.fixture
def board(protocol: LoadedBenchmark, tmp_path: Path) -> Board:
    for name, quality in {"poor": 0.3, "good_one": 2.0}.items():
        told(write_submission(tmp_path, protocol, name, quality), citation=f"{name} et al. 2020, 50 % & more")
    write_submission(tmp_path, protocol, "bound", 9.0, reference=True)
    return build_board(protocol)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_bytes_twice(board: Board, protocol: LoadedBenchmark, name: str) -> None:
    data = export_board(board, protocol, name)
    assert data
    assert export_board(board, protocol, name) == data


def test_json_and_csv_are_the_board(board: Board, protocol: LoadedBenchmark) -> None:
    assert Board.model_validate(json.loads(export_board(board, protocol, "json"))) == board
    rows = list(csv.DictReader(io.StringIO(export_board(board, protocol, "csv").decode())))
    assert len(rows) == 9, "three methods in three columns"
    first = board.rows[0].cells["iid"]
    found = next(row for row in rows if (row["method"], row["column"]) == (board.rows[0].method, "iid"))
    assert (float(found["value"]), found["units"], found["tier"]) == (first.value, "4/4", "recomputed")
    assert {row["rank"] for row in rows if row["reference"] == "True"} == {""}


HOSTILE = '=1+1|<script>alert("x")</script>'


def test_text_of_strangers_is_only_text(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    """A row that the gate would refuse, should it come here in another way."""
    folder = write_submission(tmp_path, protocol, "good", 2.0)
    method = read_about(folder).method.model_copy(update={"version": HOSTILE})
    told(folder, method=method, citation="Evil 2020}, note = {\\input{/etc/passwd}")
    broken = write_submission(tmp_path, protocol, "broken", 1.0)
    (broken / "submission.toml").write_text("'<img src=x>|[a](https://e.org)`' = 1\n")
    board = build_board(protocol)
    rows = list(csv.DictReader(io.StringIO(export_board(board, protocol, "csv").decode())))
    assert {row["version"] for row in rows} == {f"'{HOSTILE}"}
    assert json.loads(export_board(board, protocol, "json"))["rows"][0]["version"] == HOSTILE
    page = export_board(board, protocol, "markdown").decode()
    assert "<" not in page.partition("## Not ranked")[2].replace(r"\<", "")
    assert "[a]" not in page
    assert "https://e.org" not in page
    assert HOSTILE not in export_board(board, protocol, "latex").decode()
    (entry,) = [each for each in export_board(board, protocol, "bibtex").decode().split("@") if "Evil" in each]
    assert entry.count("{") == entry.count("}")
    assert "Evil 2020\\textbraceright{}, note = \\textbraceleft{}\\textbackslash{}input" in entry


def test_parquet_is_the_long_table_with_types(board: Board, protocol: LoadedBenchmark) -> None:
    from pyarrow import BufferReader, parquet

    table = parquet.read_table(BufferReader(export_board(board, protocol, "parquet")))
    assert table.num_rows == 9
    assert {name: str(table.schema.field(name).type) for name in ("rank", "value", "reference", "seconds")} == {
        "rank": "int64",
        "value": "double",
        "reference": "bool",
        "seconds": "double",
    }
    values = {(row["method"], row["column"]): row["value"] for row in table.to_pylist()}
    assert values == {(row.method, column): cell.value for row in board.rows for column, cell in row.cells.items()}
    assert table.column("submitted").null_count == 9, "missing is null, not text"


def test_samples_through_networks_are_numbers_too(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    from pyarrow import BufferReader, parquet

    cost = Cost(seconds=9.0, forwards=1500, backwards=20)
    told(write_submission(tmp_path, protocol, "counted", 2.0), cost=cost)
    write_submission(tmp_path, protocol, "silent", 0.3)
    board = build_board(protocol)
    table = parquet.read_table(BufferReader(export_board(board, protocol, "parquet")))
    rows = list(csv.DictReader(io.StringIO(export_board(board, protocol, "csv").decode())))
    for found, none in ((table.to_pylist(), None), (rows, "")):
        assert {str(row["forwards"]) for row in found if row["method"] == "counted"} == {"1500"}
        assert {str(row["backwards"]) for row in found if row["method"] == "counted"} == {"20"}
        assert {row["forwards"] for row in found if row["method"] == "silent"} == {none}


def test_latex_is_a_whole_table(board: Board, protocol: LoadedBenchmark) -> None:
    text = board_latex(board, protocol)
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}", r"\caption{Toy (toy@1, sha256 "):
        assert command in text
    assert protocol.hash[:12] in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 4
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {4}, "rank, method, three columns"
    assert re.sub(r"\\[{}]", "", text).count("{") == re.sub(r"\\[{}]", "", text).count("}")
    ends: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert what == "begin" or ends.pop() == name
        ends += [name] if what == "begin" else []
    assert ends == []
    assert rf"\label{{tab:{board.benchmark}}}" in text
    best = board.rows[0].cells["mean"]
    assert rf"\textbf{{{best.value:.1f}}} {{\scriptsize [{best.low:.1f}, {best.high:.1f}]}}" in text
    assert r"good\_one" in text
    assert r"\textit{bound}" in text
    assert r"AUGRC $\times$ 1000, lower is better" in text


def test_latex_bold_is_the_best_group_and_missing_is_a_dash(board: Board, protocol: LoadedBenchmark) -> None:
    second = board.rows[1]
    cells = {"mean": second.cells["mean"].model_copy(update={"spread": 1.25, "group": 1})}
    text = board_latex(board.model_copy(update={"rows": (second.model_copy(update={"cells": cells}),)}), protocol)
    assert rf" & -- & -- & \textbf{{{second.cells['mean'].value:.1f} $\pm$ 1.2}} " in text
    assert r"after $\pm$ how far the metrics behind a mean rank disagree" in text


def test_latex_names_are_escaped(board: Board, protocol: LoadedBenchmark) -> None:
    cell = board.rows[0].cells["mean"]
    row = board.rows[0].model_copy(update={"cells": {"50_% & more": cell}})
    text = board_latex(board.model_copy(update={"columns": ("50_% & more",), "rows": (row,)}), protocol)
    assert r"rank & method & 50\_\% \& more \\" in text.splitlines()


def test_exported_markdown_is_the_page_of_the_board(board: Board, protocol: LoadedBenchmark) -> None:
    write_board(board, protocol)
    page = (protocol.path.parent / "board.md").read_bytes()
    assert export_board(read_board(protocol), protocol, "markdown") == page


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more_$x#", r"50 \% \& more\_\$x\#"),
        ("{a}\\b~c^d", r"\textbraceleft{}a\textbraceright{}\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
    ],
)
def test_nothing_is_a_command(text: str, escaped: str) -> None:
    assert latex(text) == escaped


def test_an_unknown_format(board: Board, protocol: LoadedBenchmark) -> None:
    with pytest.raises(UsageError, match="no format is called 'latx'; did you mean latex"):
        export_board(board, protocol, "latx")


def test_bibtex_of_the_board_has_every_method_once(board: Board, protocol: LoadedBenchmark) -> None:
    text = export_board(board, protocol, "bibtex").decode()
    keys = re.findall(r"^@misc\{([^,]+),$", text, flags=re.MULTILINE)
    assert keys == sorted(set(keys))
    assert r"title = {{good\_one et al. 2020, 50 \% \& more}}," in text
    assert "year = {2020}," in text
    assert "note = {for method poor}," in text
    assert "note = {for metric augrc}," in text
    assert "benchmark toy@1" in text


def test_one_work_for_two_purposes_is_one_entry_and_nothing_to_cite_is_none() -> None:
    work = "Klein et al. 2024,  Navigating the Maze"
    text = bibtex(
        [CitedWork(work, "metric a"), CitedWork(" ".join(work.split()), "method b"), CitedWork(work, "metric a")]
    )
    assert text.count("@misc") == 1
    assert "note = {for metric a, method b}," in text
    assert bibtex([CitedWork("", "method c"), CitedWork("none: part of the harness", "method d")]) == ""


def test_keys_say_name_and_year_and_stay() -> None:
    key = bibtex_key("Corbière et al., NeurIPS 2019")
    assert re.fullmatch(r"corbiere2019-[0-9a-f]{4}", key)
    assert bibtex_key("Corbière et al., NeurIPS 2019") == key
    assert bibtex_key("Corbière et al., Another, NeurIPS 2019") != key
    assert bibtex_key("§ 5").startswith("work-")


@pytest.mark.usefixtures("board")
def test_cite_takes_a_benchmark_and_a_submission(tmp_path: Path) -> None:
    whole = cite("toy@1")
    assert "Toy, benchmark toy@1" in whole
    assert "method" not in whole.replace("XAI methods", "")
    by_name, by_path = cite("toy@1/poor"), cite(str(tmp_path / "submissions" / "toy@1" / "poor"))
    assert by_name == by_path
    assert "for method poor" in by_name
    assert set(re.findall(r"@misc\{[^,]+", whole)) < set(re.findall(r"@misc\{[^,]+", by_name))


@pytest.mark.usefixtures("board")
def test_cite_names_what_it_cannot_find(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no benchmark is called 'toys@1'; did you mean toy@1"):
        cite("toys@1")
    with pytest.raises(UsageError, match="holds neither a sealed run nor a submission"):
        cite(str(tmp_path))
    (tmp_path / "submissions" / "toy@1" / "poor" / "submission.toml").write_text("x = [")
    with pytest.raises(UsageError, match="is not valid TOML"):
        cite("toy@1/poor")


def test_metrics_of_the_harness_itself_are_no_sources() -> None:
    text = cite("query-realistic-al@2")
    assert "performance after the last loop" not in text
    assert "Zhan, Xueying" in text


def test_scores_in_their_own_unit_have_digits_enough(board: Board, protocol: LoadedBenchmark) -> None:
    """A Brier score of 0.01 is no 0.0."""
    name, cell = next((row.method, row.cells["mean"]) for row in board.rows if not row.reference)
    small = cell.model_copy(update={"value": 0.012345, "low": 0.0110001, "high": 0.0149})
    rows = tuple(
        row.model_copy(update={"cells": {**row.cells, "mean": small}}) if row.method == name else row
        for row in board.rows
    )
    for metric in ("brier", "nll", "failure_nll"):
        changed = board.model_copy(update={"metric": metric, "scale": 1.0, "rows": rows})
        assert "**0.0123**" in export_board(changed, protocol, "markdown").decode()
        assert "0.0123" in (text := board_latex(changed, protocol))
        assert "[0.011, 0.0149]" in text
    assert "**0.0**" in export_board(board.model_copy(update={"rows": rows}), protocol, "markdown").decode()


def test_every_metric_of_confidence_is_shown_as_an_area_in_percent_or_in_its_own_unit() -> None:
    facts = metric_facts()
    assert (facts["augrc"].text(0.01234), facts["ece"].text(0.01234)) == ("12.3", "1.2")
    assert facts["risk_at_coverage"].text(0.01234) == "1.2"
    for name in ("brier", "nll", "failure_nll"):
        assert [facts[name].text(value) for value in (0.00123456, 0.0123456, 2.30259)] == ["0.00123", "0.0123", "2.3"]
