"""The pull request puts that record where maintainers keep it."""

from __future__ import annotations

from pathlib import Path

from harness.boards.submissions import read_about
from harness.boards.tiers import record_path
from harness.storage import write_json
from tests.boards.support import reproduced

OUTCOME, SAYS = "refused", "leaderboards/toy/1/reproductions/margin.json; a submission touches its own folder"


def attack(folder: Path) -> None:
    path = record_path(read_about(folder))
    path.parent.mkdir()
    write_json(path, reproduced(folder).canonical())
