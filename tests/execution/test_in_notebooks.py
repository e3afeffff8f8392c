"""What a notebook shows of a run."""

from __future__ import annotations

import linecache
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.spec.errors import UsageError
from tests.cli.support import write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def result(tmp_path: Path) -> harness.RunResult:
    toy = write_toy(tmp_path)
    return harness.evaluate(tmp_path / "margin.py", benchmark=str(toy), out=tmp_path / "runs", workers=1)


def test_it_is_a_short_line(result: harness.RunResult) -> None:
    assert repr(result) == f"<RunResult margin on toy@1: 1 of 1 units scored, {result.folder}>"


def test_it_is_a_table(result: harness.RunResult) -> None:
    page = result._repr_html_()
    (row,) = (row for row in result.document.summary if row.metric == "augrc")
    assert row.value is not None
    assert f"<th>augrc ↓</th><td>{1000 * row.value:.1f}<br><small>{1000 * row.low:.1f}–{1000 * row.high:.1f}" in page
    assert page.count("<tr>") == page.count("</tr>") == 4
    assert "<RunResult" not in page


def test_it_is_a_plot(result: harness.RunResult) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("agg")
    axes = result.plot("failure_auroc")
    (row,) = (row for row in result.document.summary if row.metric == "failure_auroc")
    assert axes.lines[0].get_xdata().tolist() == pytest.approx([100 * row.value])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["iid"]
    assert result.plot().get_xlabel() == "augrc ↓ × 1000"
    with pytest.raises(UsageError, match="this run has no scores of nll; it has: augrc, failure_auroc"):
        result.plot("nll")


def test_an_opened_run_shows_the_same(result: harness.RunResult) -> None:
    assert harness.RunResult.open(result.folder)._repr_html_() == result._repr_html_()


def test_without_a_board_it_says_so(result: harness.RunResult) -> None:
    command = f"harness board build {result.folder.parents[1] / 'toy.toml'} --runs {result.folder.parent}"
    assert result.board() == f"this benchmark has no board, but {command} ranks your runs under it"


CELL = """
from harness import confidence_score, explainer

@confidence_score(version="1")
def function(outputs): ...

@confidence_score(version="1")
class Class:
    def score(self, outputs): ...

anonymous = explainer(version="1")(lambda model, inputs, targets: inputs)
"""


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a cell defines: its source is in no file, only where tracebacks look for it, and `__main__` has none either."""
    name = "/tmp/ipykernel_1/2.py"
    monkeypatch.setitem(linecache.cache, name, (len(CELL), None, CELL.splitlines(keepends=True), name))
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    scope: dict[str, object] = {"__name__": "__main__"}
    exec(compile(CELL, name, "exec"), scope)
    return scope


@pytest.mark.parametrize("name", ["function", "Class", "anonymous"])
def test_a_method_of_a_cell_is_told_how(name: str, cell: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"was not defined in a file, .*%%writefile my_method\.py"):
        harness.evaluate(cell[name])


def test_an_object_of_a_method_is_not_its_class(cell: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"is an object of Class; give the class itself: harness\.evaluate\(Class\)"):
        harness.evaluate(cell["Class"]())
