"""A second submission.toml that differs in case: other file systems would read that one."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "Submission.toml has no place in a submission"


def attack(folder: Path) -> None:
    (folder / "Submission.toml").write_bytes((folder / "submission.toml").read_bytes())
