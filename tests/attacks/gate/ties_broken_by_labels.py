"""A copy in double precision whose last digits, below those of single precision, are the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.catalog import find_protocol
from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give
from tests.boards.support import wrong

OUTCOME, SAYS = "refused", "are stored as float64; a run stores them as float32"


def attack(folder: Path) -> None:
    changed = {}
    for name, array in arrays_of(folder.parent / "msr").items():
        model, study, _ = name.split("--")
        changed[name] = array.astype(np.float64) * (1 - 1e-12 * wrong(find_protocol("toy@1"), model, study))
    change_outputs(folder, changed)
    claim_what_outputs_give(folder)
