"""A table of maps with the hash of a file that is nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import change_about

OUTCOME, SAYS = "refused", "maps.npz is missing, but submission.toml says otherwise"


def attack(folder: Path) -> None:
    change_about(folder, maps={"arrays": {"one--iid--maps": "0" * 64}, "sha256": "0" * 64, "bytes": 7})
