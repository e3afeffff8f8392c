"""The pull request adds a page to the folder from which boards are published."""

from __future__ import annotations

from pathlib import Path

PATH = "leaderboards/toy/1/index.html"
OUTCOME, SAYS = "refused", f"{PATH}; a submission touches its own folder and nothing else"


def attack(folder: Path) -> None:
    path = folder.parents[2] / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
