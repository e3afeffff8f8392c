"""Running the command as a user does, in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

BENCHMARK = """
schema_version = 1
id = "toy"
version = 1
title = "Toy"
task = "confidence"
metrics = ["augrc", "failure_auroc"]
[bootstrap]
replicates = 50
[source]
kind = "table"
holds = "logits"
values = "logits"
[[source.models]]
id = "one"
table = { path = "table.npz" }
[source.sets]
validation = { rows = [0, 100] }
iid = { rows = [100, 400] }
[reference]
validation = "validation"
[[studies]]
id = "iid"
kind = "iid"
samples = "iid"
group = "iid"
"""
MARGIN = """
from harness import confidence_score

@confidence_score(version="1.0")
def margin(outputs):
    top = outputs.probabilities.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]
"""


def harness(*arguments: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`harness ARGUMENTS` in a folder, on a wide terminal without colours."""
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "HARNESS_CACHE": str(folder / "cache"), **environment},
    )


def write_toy(folder: Path) -> Path:
    """A benchmark of 400 made-up outputs, and the method `margin.py`. Returns the benchmark's file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=400)
    logits = rng.normal(size=(400, 4)) + 1.5 * np.eye(4)[labels]
    np.savez(folder / "table.npz", logits=logits, labels=labels)
    (folder / "toy.toml").write_text(BENCHMARK)
    (folder / "margin.py").write_text(MARGIN)
    return folder / "toy.toml"
