"""Pages from templates: what is escaped, what is left of a block, and what a missing value does."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from harness.storage import fill_template


@pytest.mark.parametrize(("suffix", "shown"), [("html", "&lt;b&gt; &amp; c"), ("md", "<b> & c")])
def test_only_html_is_escaped(tmp_path: Path, suffix: str, shown: str) -> None:
    (tmp_path / f"page.{suffix}").write_text("{{ value }}\n")
    assert fill_template(tmp_path / f"page.{suffix}", value="<b> & c") == f"{shown}\n"


def test_a_line_of_blocks_leaves_no_line(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("a\n  {% if yes %}\nb\n  {% endif %}\nc\n")
    assert fill_template(tmp_path / "page.md", yes=True) == "a\nb\nc\n"
    assert fill_template(tmp_path / "page.md", yes=False) == "a\nc\n"


def test_a_missing_value_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("{{ typo }}")
    with pytest.raises(jinja2.UndefinedError, match="typo"):
        fill_template(tmp_path / "page.md", value=1)
