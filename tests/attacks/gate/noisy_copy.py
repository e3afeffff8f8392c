"""Another row's confidences with noise in the fourth digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give

OUTCOME, SAYS = "flagged", "near-copy: it orders as msr does in 4 of 4 units; see why."


def attack(folder: Path) -> None:
    rng, arrays = np.random.default_rng(0), arrays_of(folder.parent / "msr")
    change_outputs(
        folder,
        {name: (array + 1e-4 * rng.normal(size=array.shape)).astype(np.float32) for name, array in arrays.items()},
    )
    claim_what_outputs_give(folder)
