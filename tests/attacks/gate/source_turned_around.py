"""A source that shows its reader other code than Python runs."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import claim
from tests.cli.support import MARGIN

OUTCOME, SAYS = "refused", "method.py holds characters that a reader cannot see (U+202E, U+2066)"


def attack(folder: Path) -> None:
    claim(folder, MARGIN + "# \u202e\u2066 if labels\n")
