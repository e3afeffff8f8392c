"""A name that differs from another row's in signs between its letters."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.gate.support import rename

OUTCOME, SAYS = "refused", "its name, m.s-r, looks like msr"


def attack(folder: Path) -> None:
    rename(folder, "m.s-r")
