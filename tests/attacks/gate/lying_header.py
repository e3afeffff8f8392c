"""An array whose header promises a thousand times the data that is there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from harness.storage import file_id
from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "is not as long as its header says"


def attack(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / "outputs.npz", "w") as archive,
        archive.open("one--iid--confidence.npy", "w") as stream,
    ):
        head = {"descr": "<f8", "fortran_order": False, "shape": (300_000,)}
        np.lib.format.write_array_header_1_0(stream, head)
        stream.write(bytes(2_400))
    change_about(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})
