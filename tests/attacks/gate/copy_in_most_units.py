"""A copy that differs in one of many units, so that it is none in all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give

OUTCOME, SAYS = "refused", "duplicate: its outputs are those of msr in 3 of 4 units"


def attack(folder: Path) -> None:
    arrays = arrays_of(folder.parent / "msr")
    name = next(iter(arrays))
    arrays[name] = np.random.default_rng(0).normal(size=arrays[name].shape).astype(arrays[name].dtype)
    change_outputs(folder, arrays)
    claim_what_outputs_give(folder)
