"""Hashes of maps for a method that answers with none."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "names maps, but its outputs are all that such a method answers with"


def attack(folder: Path) -> None:
    change_about(folder, maps={"arrays": {"one--iid--maps": "0" * 64}})
