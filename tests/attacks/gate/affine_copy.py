"""Another row's confidences, doubled and shifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give

OUTCOME, SAYS = "flagged", "near-copy: it orders as msr does in 4 of 4 units; see why."


def attack(folder: Path) -> None:
    arrays = {name: array.astype(np.float64) for name, array in arrays_of(folder.parent / "msr").items()}
    change_outputs(folder, {name: (2 * array + 1).astype(np.float32) for name, array in arrays.items()})
    claim_what_outputs_give(folder)
