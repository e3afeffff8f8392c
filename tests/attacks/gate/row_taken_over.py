"""A new version of somebody else's row, under the same name."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about, git

OUTCOME, SAYS = "flagged", "replaced: submission.toml replaces an earlier state; see that its authors want this"


def attack(folder: Path) -> None:
    checkout = folder.parents[2]
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "merged")
    git(checkout, "branch", "-f", "main")
    change_about(folder, authors=["B. Stranger"])
