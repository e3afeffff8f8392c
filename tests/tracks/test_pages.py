"""Templates: HTML is escaped, Markdown stands as it is, and a table keeps its cells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from harness.tracks.pages import render

PAGES = {
    "page.html": "<p>{{ text }}</p>",
    "page.md": "{{ text }}\n",
    "table.md": '{% from "markdown.md" import items, table %}\n{{ table(["a", "b"], rows, "lr") }}\n{{ items(["x", "y"]) -}}\n',
    "long.md": "{% filter paragraph %}\none\n  two{% if text %}, three{% endif %}\n\n{% endfilter %}\nend\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with templates of its own."""
    name = f"pages_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name / "templates").mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("")
    for file, text in PAGES.items():
        (tmp_path / name / "templates" / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_html_is_escaped_and_markdown_is_not(package: str) -> None:
    assert render(package, "page.html", text="<b>\"'&") == "<p>&lt;b&gt;&#34;&#39;&amp;</p>"
    assert render(package, "page.md", text="<b>\"'&") == "<b>\"'&\n"


def test_a_table_keeps_its_cells(package: str) -> None:
    assert render(package, "table.md", rows=[("x|y", 1), ("", 2.5)]) == (
        "| a | b |\n|---|---:|\n| x\\|y | 1 |\n|  | 2.5 |\n\n- x\n- y\n"
    )


def test_lines_of_a_template_are_one_paragraph(package: str) -> None:
    assert render(package, "long.md", text="yes") == "one two, three\nend\n"


def test_what_is_not_given_is_an_error_and_not_a_gap(package: str) -> None:
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        render(package, "page.md")
