"""Values that the published code returned on synthetic inputs; README.md says which code made which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def oracle(name: str) -> Any:
    """The content of a file of this folder."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())
