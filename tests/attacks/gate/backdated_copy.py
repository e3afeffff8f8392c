"""A near copy that claims to have been submitted before its original, which ties are sorted by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.boards.gate.support import arrays_of, change_about, change_outputs, claim_what_outputs_give

OUTCOME, SAYS = "flagged", "orders as msr does in 4 of 4 units, and it claims to have been submitted before; see why"


def attack(folder: Path) -> None:
    arrays = arrays_of(folder.parent / "msr")
    change_outputs(
        folder, {name: (2 * array.astype(np.float64) + 1).astype(np.float32) for name, array in arrays.items()}
    )
    change_about(folder, submitted="2019-01-01")
    claim_what_outputs_give(folder)
