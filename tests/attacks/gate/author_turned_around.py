"""An author's name with a mark that turns the text around."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "authors in submission.toml holds characters that a reader cannot see (U+202E)"


def attack(folder: Path) -> None:
    change_about(folder, authors=["A. \u202eContributor"])
