"""The pull request floods the gate with folders, each of which takes seconds to judge."""

from __future__ import annotations

import shutil
from pathlib import Path

OUTCOME, SAYS = "refused", "the same change touches 15 folders; a submission is one"


def attack(folder: Path) -> None:
    for number in range(14):
        shutil.copytree(folder, folder.with_name(f"margin-{number}"))
