"""Hardware that is an invisible character, so that the field is not empty."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "hardware in submission.toml holds characters that a reader cannot see (U+200B)"


def attack(folder: Path) -> None:
    change_about(folder, hardware="\u200b")
