"""The submission brings the record that says it came out again."""

from __future__ import annotations

from pathlib import Path

from harness.storage import write_json
from tests.boards.support import reproduced

OUTCOME, SAYS = "refused", "reproduction.json is for maintainers to add"


def attack(folder: Path) -> None:
    write_json(folder / "reproduction.json", reproduced(folder).canonical())
