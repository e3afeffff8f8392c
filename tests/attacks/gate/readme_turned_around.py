"""A README that shows its reader another text."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "README.md holds characters that a reader cannot see (U+202E)"


def attack(folder: Path) -> None:
    (folder / "README.md").write_text("reproduced \u202e by nobody\n")
