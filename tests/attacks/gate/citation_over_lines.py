"""A citation that drives the terminal."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "citation in submission.toml holds characters that a reader cannot see (U+001B, U+000D)"


def attack(folder: Path) -> None:
    change_about(folder, citation="none\x1b[2J\r")
