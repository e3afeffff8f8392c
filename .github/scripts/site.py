"""Write the boards as a few static pages: `site.py LEADERBOARDS FOLDER`. Every text in them is escaped."""

from __future__ import annotations

import json
import shutil
import sys
from html import escape
from pathlib import Path
from typing import Any

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font-family: sans-serif; margin: 2em }} td, th {{ padding: .2em .8em; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} .unranked {{ font-style: italic }}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
FILES = ("board.md", "board.csv", "board.json")


def main(leaderboards: Path, site: Path) -> None:
    """A page for each board that was built, with its files beside it, and a list of them all."""
    boards = sorted(leaderboards.glob("*/*/board.json"))
    for path in boards:
        folder = site / path.parent.relative_to(leaderboards)
        folder.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(path.with_name(name), folder / name)
        board = json.loads(path.read_text())
        write_page(folder, board["benchmark"], page(board))
    places = [escape(path.parent.relative_to(leaderboards).as_posix()) for path in boards]
    links = [f'<li><a href="{place}/">{place}</a></li>' for place in places]
    site.mkdir(parents=True, exist_ok=True)
    write_page(site, "Leaderboards", "\n".join(["<ul>", *links, "</ul>"]))


def page(board: dict[str, Any]) -> str:
    """The board as a table: value and rank interval of each method in each column, in the order of the board."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("method", *board["columns"]))
    rows = [
        "<tr{}><td>{}</td>{}</tr>".format(
            ' class="unranked"' if row["reference"] else "",
            escape(row["method"]),
            "".join(f"<td>{_cell(row['cells'].get(name))}</td>" for name in board["columns"]),
        )
        for row in board["rows"]
    ]
    scale = f" × {board['scale']:g}" if board["scale"] != 1 else ""
    direction = "lower" if board["lower_is_better"] else "higher"
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in FILES)
    title = f"{escape(board['title'])}{scale}, {direction} is better. In brackets the interval of the rank."
    table = ["<table>", f"<tr>{heads}</tr>", *rows, "</table>"]
    return "\n".join([f"<p>{title} {escape(board['explanation'])}</p>", *table, f"<p>All of it: {links}</p>"])


def write_page(folder: Path, title: str, body: str) -> None:
    (folder / "index.html").write_text(PAGE.format(title=escape(title), body=body), encoding="utf-8")


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "-"
    ranks = "" if cell["rank"] is None else f" [{cell['rank_low']}–{cell['rank_high']}]"
    return f"{cell['value']:.4g}{ranks}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
