"""The note of a run's folder that says where the benchmark's file lies, so that another one is read."""

from __future__ import annotations

import json
from pathlib import Path

OUTCOME, SAYS = "refused", "protocol.json has no place in a submission"


def attack(folder: Path) -> None:
    (folder / "protocol.json").write_text(json.dumps({"path": "/tmp/easier.toml"}))
