"""Two million lists in one another in run.json."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "run.json is not valid JSON"


def attack(folder: Path) -> None:
    (folder / "run.json").write_text("[" * 2_000_000)
