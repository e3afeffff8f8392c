"""run.json is a link to a file of the machine that judges."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "run.json is a symbolic link; store the file itself"


def attack(folder: Path) -> None:
    (folder / "run.json").unlink()
    (folder / "run.json").symlink_to("/etc/passwd")
