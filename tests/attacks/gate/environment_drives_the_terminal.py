"""A run whose record of its environment drives the terminal of whoever looks at it."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_run

OUTCOME, SAYS = "refused", "environment.platform in run.json holds characters that a reader cannot see (U+001B)"


def attack(folder: Path) -> None:
    change_run(folder, lambda document: document["environment"].update(platform="\x1b[2J"))
