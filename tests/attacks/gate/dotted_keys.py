"""900 kB of one dotted key, on which TOML parsers work for many minutes."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "submission.toml has 900 kB, more than the 20 kB allowed"


def attack(folder: Path) -> None:
    (folder / "submission.toml").write_text("a." * 450_000 + "a=1\n")
