"""A name that differs from another row's in a digit that looks like its letter."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.gate.support import rename

OUTCOME, SAYS = "refused", "its name, m5r, looks like msr"


def attack(folder: Path) -> None:
    rename(folder, "m5r")
