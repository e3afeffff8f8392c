"""Every attack on the gate, one file each: what its docstring says is done to an honest submission, and what comes of it.

A file has `attack(folder)`, which changes the submission in that folder, or what lies around it, in a pull request that
was fine before; `OUTCOME`, which is "refused", "flagged" (accepted, and a reader is told) or "harmless" (accepted, and the
file itself checks what follows); and `SAYS`, a part of the sentence that names what was found.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.boards.gate.support import changed, place

ATTACKS = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "conftest", "support", Path(__file__).stem)
)


def test_the_submission_that_is_attacked_is_fine(repository: Path) -> None:
    place(repository)
    assert [report.findings for report in changed(repository)] == [()]


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(repository: Path, name: str) -> None:
    attack = import_module(f"tests.attacks.gate.{name}")
    assert attack.__doc__
    attack.attack(place(repository))
    reports = changed(repository)
    findings = [finding for report in reports for finding in report.findings]
    said = [f"{each.severity} {each.rule}: {each.sentence}" for each in findings]
    assert all(report.accepted for report in reports) == (attack.OUTCOME != "refused"), said
    assert attack.OUTCOME in ("refused", "flagged", "harmless")
    if attack.OUTCOME != "harmless":
        assert any(line.startswith(attack.OUTCOME) and attack.SAYS in line for line in said), said
