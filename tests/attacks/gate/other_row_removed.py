"""The pull request removes the row that it would have to beat."""

from __future__ import annotations

import shutil
from pathlib import Path

OUTCOME, SAYS = "refused", "the same change removes submissions/toy@1/msr/outputs.npz"


def attack(folder: Path) -> None:
    shutil.rmtree(folder.parent / "msr")
