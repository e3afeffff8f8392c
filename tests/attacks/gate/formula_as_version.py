"""A version that spreadsheets compute and pages run."""

from __future__ import annotations

from pathlib import Path

from tests.boards.gate.support import claim
from tests.cli.support import MARGIN

VERSION = "=1+1|<script>alert(1)</script>"
OUTCOME, SAYS = "refused", "must consist of letters, digits and . _ + -, such as 1.0"


def attack(folder: Path) -> None:
    claim(folder, MARGIN.replace('"1.0"', repr(VERSION)), version=VERSION)
