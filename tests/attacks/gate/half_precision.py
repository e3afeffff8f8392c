"""Outputs rounded to half precision, to hide whose they are; the claims are those of the rounded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give

OUTCOME, SAYS = "refused", "float16"


def attack(folder: Path) -> None:
    arrays = arrays_of(folder.parent / "msr")
    change_outputs(folder, {name: array.astype(np.float16) for name, array in arrays.items()})
    claim_what_outputs_give(folder)
