"""Outputs that unpack to 400 MB, twice what is allowed; the file has 400 kB."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from harness.storage import file_id
from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "outputs.npz was refused: it unpacks to 400000128 bytes, more than the 200000000 allowed"


def attack(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / "outputs.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("one--iid--confidence.npy", "w", force_zip64=True) as stream,
    ):
        head = {"descr": "<f8", "fortran_order": False, "shape": (50_000_000,)}
        np.lib.format.write_array_header_1_0(stream, head)
        for _ in range(400):
            stream.write(bytes(1_000_000))
    change_about(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})
