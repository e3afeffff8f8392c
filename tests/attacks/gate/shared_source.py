"""The pull request adds a source that baselines share."""

from __future__ import annotations

from pathlib import Path

PATH = "submissions/toy@1/sources/0000000000000000000000000000000000000000000000000000000000000000.py"
OUTCOME, SAYS = "refused", f"{PATH}; a submission touches its own folder and nothing else"


def attack(folder: Path) -> None:
    path = folder.parents[2] / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
