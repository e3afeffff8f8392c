"""A name with a letter of another alphabet."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.gate.support import rename

OUTCOME, SAYS = "refused", "method.name: it must be of lower-case letters"


def attack(folder: Path) -> None:
    rename(folder, "m\u0455r")
