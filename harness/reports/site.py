"""The boards as a few static pages."""

from __future__ import annotations

from pathlib import Path

from harness.boards.render import tier_text, unearned_ranks
from harness.reports.page import fill_page
from harness.spec.board import Board
from harness.storage import read_json, write_bytes, write_text

PAGE = "index.html"
FILES = ("board.md", "board.csv", "board.json")


def write_site(leaderboards: Path, site: Path) -> None:
    """A page for each board that was built, with its files beside it, and a list of them all."""
    boards = [path.parent for path in sorted(leaderboards.glob("*/*/board.json"))]
    places = [board.relative_to(leaderboards).as_posix() for board in boards]
    for board, place in zip(boards, places, strict=True):
        (site / place).mkdir(parents=True)
        for name in FILES:
            write_bytes(site / place / name, (board / name).read_bytes())
        built = Board.model_validate(read_json(board / "board.json"))
        page = fill_page("board.html", board=built, tier=tier_text, note=unearned_ranks(built), files=FILES)
        write_text(site / place / PAGE, page)
    site.mkdir(parents=True, exist_ok=True)
    write_text(site / PAGE, fill_page("index.html", places=places))
