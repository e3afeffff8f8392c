"""The pages: every board that was built, and no markup but their own."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from harness.reports.site import write_site

ROOT = Path(__file__).resolve().parents[2]


class Cells(HTMLParser):
    """The rows of a page's table, and the tags that it uses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.scripts = 0
        self._in_table = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self._in_table = tag in ("td", "th") or (self._in_table and tag != "script")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and self._in_table:
            self.rows[-1][-1] += data.strip()


def cell(value: float, **ranks: int | None) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value} | ranks


def write_board(folder: Path, **changes: Any) -> None:
    folder.mkdir(parents=True)
    about = {"version": "1", "units": "1/1"}
    row = about | {
        "method": "gap",
        "reference": False,
        "cells": {"iid": cell(3.72601, rank=2, rank_low=1, rank_high=3)},
    }
    bound = about | {"method": "oracle", "reference": True, "cells": {"iid": cell(1.0), "mean": cell(118.065)}}
    board = {"benchmark": "toy@1", "title": "AUGRC", "explanation": "Why.", "scale": 1000.0, "lower_is_better": True}
    board |= {"benchmark_hash": "0" * 64, "metric": "augrc", "groups": {}, "unranked": []}
    board |= {"columns": ["iid", "mean"], "rows": [row, bound]} | changes
    (folder / "board.json").write_text(json.dumps(board))
    (folder / "board.csv").write_text("csv")
    (folder / "board.md").write_text("md")


def test_a_page_shows_the_board(tmp_path: Path) -> None:
    write_board(tmp_path / "leaderboards" / "toy" / "1")
    (tmp_path / "leaderboards" / "unbuilt" / "1").mkdir(parents=True)
    write_site(tmp_path / "leaderboards", tmp_path / "site")
    page = (tmp_path / "site" / "toy" / "1" / "index.html").read_text()
    rows = Cells(page).rows
    assert rows[0] == ["method", "iid", "mean", "tier"]
    assert rows[1] == ["gap", "3.726 [1–3]", "-", "recomputed"]
    assert rows[2][:2] == ["oracle", "1"]
    assert "AUGRC × 1000, lower is better." in page
    assert (tmp_path / "site" / "toy" / "1" / "board.csv").read_text() == "csv"
    assert '<a href="toy/1/">' in (tmp_path / "site" / "index.html").read_text()
    assert not (tmp_path / "site" / "unbuilt").exists()


def test_a_row_that_waits_says_since_when(tmp_path: Path) -> None:
    about = {"version": "1", "units": "1/1", "reference": False, "waits": True}
    rows = [
        about | {"method": "gap", "submitted": "2026-11-02", "cells": {"iid": cell(3.7)}},
        about | {"method": "old", "cells": {"iid": cell(3.8)}},
    ]
    write_board(tmp_path / "boards" / "toy" / "1", ranks_from="reproduced", rows=rows)
    write_site(tmp_path / "boards", tmp_path / "site")
    page = (tmp_path / "site" / "toy" / "1" / "index.html").read_text()
    assert Cells(page).rows[1] == ["gap", "3.7", "-", "recomputed, waits since 2026-11-02"]
    assert Cells(page).rows[2][-1].startswith("recomputed, waits since a day that is not known")
    sentence = "No row is reproduced yet, so none has a rank; harness board show toy@1 --all-tiers ranks all."
    assert f"<p>{sentence}</p>" in page


def test_markup_in_a_board_stays_text(tmp_path: Path) -> None:
    """Names of methods are none that could hold any."""
    hostile = "<script>alert(1)</script>\"'&"
    row = {"method": "gap", "version": "1", "units": "1/1", "reference": False, "cells": {hostile: cell(1.0)}}
    write_board(
        tmp_path / "boards" / "toy" / "1",
        **dict.fromkeys(("benchmark", "title", "explanation"), hostile),
        columns=[hostile],
        rows=[row],
    )
    write_site(tmp_path / "boards", tmp_path / "site")
    page = Cells((tmp_path / "site" / "toy" / "1" / "index.html").read_text())
    assert page.scripts == 3  # of the page itself: its data, the table's library, and what starts it
    assert page.rows[0][1] == hostile


def test_the_boards_of_the_repository(tmp_path: Path) -> None:
    script = str(ROOT / ".github" / "scripts" / "site.py")
    subprocess.run([sys.executable, script, "leaderboards", str(tmp_path / "site")], cwd=ROOT, check=True, timeout=240)
    built = {path.parent.relative_to(ROOT / "leaderboards") for path in (ROOT / "leaderboards").glob("*/*/board.json")}
    assert built == {path.parent.relative_to(tmp_path / "site") for path in (tmp_path / "site").glob("*/*/index.html")}
    assert built
