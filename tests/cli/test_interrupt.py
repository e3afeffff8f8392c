"""Ctrl-C and SIGTERM end a run with a sentence and the exit code that shells expect."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.execution.dots import write_dots

ENDLESS = """
import os, time
from harness import query_strategy

@query_strategy(version="1")
def entropy(probabilities):
    while os.path.isdir({runs!r}):  # the check comes before
        time.sleep(0.05)
    return probabilities.mean(0)[:, 0]
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_it_goes_on(number, code, tmp_path):
    files = write_dots(tmp_path / "dots", ENDLESS.format(runs=str(tmp_path / "runs")))
    command = [sys.executable, "-c", "from harness.cli import main; main()", "evaluate", str(files / "method.py")]
    process = subprocess.Popen(
        [*command, "--benchmark", str(files / "benchmark.toml"), "--out", str(tmp_path / "runs")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HARNESS_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 240
    while not list((tmp_path / "runs").glob("*/journal.log")):  # the run has begun
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code
    assert errors.decode().endswith("error: interrupted; the same command goes on from here.\n")
