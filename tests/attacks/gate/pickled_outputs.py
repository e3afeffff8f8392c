"""Outputs that run a command when they are unpickled."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from harness.storage import file_id
from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "has the unsafe dtype object"


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return os.abort, ()


def attack(folder: Path) -> None:
    np.savez(folder / "outputs.npz", trap=np.array([Trap()], dtype=object))
    change_about(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})
