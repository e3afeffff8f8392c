"""Confidences made of public labels and some noise, with the source of an honest method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.catalog import find_protocol
from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give
from tests.boards.support import wrong

OUTCOME, SAYS = "flagged", "far-ahead: it is nearer to a row that reads labels than to msr, the next, in mean"


def attack(folder: Path) -> None:
    rng, changed = np.random.default_rng(0), {}
    for name, array in arrays_of(folder).items():
        model, study, _ = name.split("--")
        truth = wrong(find_protocol("toy@1"), model, study)
        changed[name] = (rng.normal(size=len(truth)) - 3 * truth).astype(array.dtype)
    change_outputs(folder, changed)
    claim_what_outputs_give(folder)
