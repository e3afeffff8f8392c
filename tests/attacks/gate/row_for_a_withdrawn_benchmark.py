"""A row for a version that was withdrawn, which still has a hash that fits."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import git

OUTCOME, SAYS = "refused", "toy@1 is withdrawn, because its labels are wrong"


def attack(folder: Path) -> None:
    checkout = folder.parents[2]
    path = checkout / "leaderboards" / "toy" / "1" / "benchmark.toml"
    ended = 'status = "withdrawn"\nsuccessor = "toy@2"\nreason = "its labels are wrong"\n'
    path.write_text(ended + path.read_text())
    git(checkout, "add", "leaderboards")
    git(checkout, "commit", "-q", "-m", "withdrawn")
    git(checkout, "branch", "-f", "main")
