"""Clients in processes of their own: huggingface_hub and datasets read their settings when they are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TIMEOUT = 240


def run_code(code: str, environment: Mapping[str, str], folder: Path, *arguments: str) -> str:
    """What a fresh Python prints that runs `code`. Fails with its traceback if it fails."""
    done = _run([sys.executable, "-c", code, *arguments], environment, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run_harness(
    *arguments: str | Path, environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """`harness ARGUMENTS` in a folder, on a wide terminal without colours."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return _run(command, environment, folder)


def _run(command: list[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    # Nothing of the developer's own account or settings may reach a test.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"COLUMNS": "200", "NO_COLOR": "1", "HARNESS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={**inherited, **settings, **environment},
    )
