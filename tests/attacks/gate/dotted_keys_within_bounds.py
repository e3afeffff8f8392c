"""As many dotted keys as the bound allows: thousands of tables in one another."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "submission.toml nests tables or lists more than 16 times"


def attack(folder: Path) -> None:
    (folder / "submission.toml").write_text("a." * 9_900 + "a=1\n")
