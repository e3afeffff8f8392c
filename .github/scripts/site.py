"""Write the boards as a few static pages: `site.py LEADERBOARDS FOLDER`. Every text in them is escaped."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from harness.storage import fill_template, write_text

PAGE = Path(__file__).with_name("site.html")
FILES = ("board.md", "board.csv", "board.json")


def main(leaderboards: Path, site: Path) -> None:
    """A page for each board that was built, with its files beside it, and a list of them all."""
    places = [path.parent.relative_to(leaderboards) for path in sorted(leaderboards.glob("*/*/board.json"))]
    for place in places:
        (site / place).mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(leaderboards / place / name, site / place / name)
        board = json.loads((site / place / "board.json").read_text(encoding="utf-8"))
        write_page(site / place, title=board["benchmark"], board=board, files=FILES)
    site.mkdir(parents=True, exist_ok=True)
    write_page(site, title="Leaderboards", board=None, places=[place.as_posix() for place in places])


def write_page(folder: Path, **values: object) -> None:
    write_text(folder / "index.html", fill_template(PAGE, **values))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
