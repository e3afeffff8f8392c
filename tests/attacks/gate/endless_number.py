"""A number of three million digits in run.json, which takes minutes to turn into binary."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "run.json"


def attack(folder: Path) -> None:
    (folder / "run.json").write_text('{"id": ' + "9" * 3_000_000 + "}")
