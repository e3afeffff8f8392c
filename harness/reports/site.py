"""The boards as a few static pages."""

from __future__ import annotations

from pathlib import Path

from harness.boards.render import tier_text, unearned_ranks
from harness.spec.board import Board
from harness.storage import fill_template, read_json, write_bytes, write_text

PAGE = "index.html"
TEMPLATES = Path(__file__).with_name("templates")
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
        shown = {"board": built, "tier": tier_text, "note": unearned_ranks(built), "files": FILES}
        page = fill_template(TEMPLATES / "board.html", **shown)
        write_text(site / place / PAGE, page)
    site.mkdir(parents=True, exist_ok=True)
    write_text(site / PAGE, fill_template(TEMPLATES / "index.html", places=places))
