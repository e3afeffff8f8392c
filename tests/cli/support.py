"""Running the command as a user does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np

from harness.cli import main

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
    """`harness ARGUMENTS` in a folder, on a wide terminal without colours: here, not in a process of its own."""
    out, errors = io.StringIO(), io.StringIO()
    before = Path.cwd(), sys.argv
    known = {"COLUMNS": "200", "NO_COLOR": "1", "HARNESS_CACHE": str(folder / "cache"), **environment}
    try:
        os.chdir(folder)
        sys.argv = ["harness", *map(str, arguments)]
        with mock.patch.dict(os.environ, known), redirect_stdout(out), redirect_stderr(errors):
            code = _exit_code(main)
    finally:
        os.chdir(before[0])
        sys.argv = before[1]
    return subprocess.CompletedProcess(list(map(str, arguments)), code, out.getvalue(), errors.getvalue())


def _exit_code(run: Callable[[], None]) -> int:
    """As the interpreter ends with it."""
    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def write_toy(folder: Path) -> Path:
    """A benchmark of 400 made-up outputs, and the method `margin.py`. Returns the benchmark's file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=400)
    logits = rng.normal(size=(400, 4)) + 1.5 * np.eye(4)[labels]
    np.savez(folder / "table.npz", logits=logits, labels=labels)
    (folder / "toy.toml").write_text(BENCHMARK)
    (folder / "margin.py").write_text(MARGIN)
    return folder / "toy.toml"
