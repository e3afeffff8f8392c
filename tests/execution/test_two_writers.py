"""One run folder has one writer; the other one is told so."""

import os
import subprocess
import sys

import pytest

from harness.execution.evaluate import prepare, run
from harness.execution.run_result import RunResult
from harness.execution.runner import discard
from harness.storage import RunLockedError
from harness.storage.lock import LOCK_NAME
from tests.data.server import wait_until

from .support import PATIENCE, ends, request_one, soon, start_evaluation, stored, untimed, waiting_for


def test_of_two_that_start_at_once_one_wins(tmp_path):
    body = waiting_for(tmp_path / "go")
    asked = request_one(tmp_path / "raced", body)
    racers = [start_evaluation(asked, tmp_path / "temporary") for _ in range(2)]
    assert soon(lambda: any(racer.poll() is not None for racer in racers))
    (tmp_path / "go").touch()
    outcomes = [(racer.communicate(timeout=PATIENCE)[1].decode(), racer.returncode) for racer in racers]
    (lost,) = [errors for errors, code in outcomes if code != 0]
    assert "RunLockedError: Process " in lost
    alone = request_one(tmp_path / "alone", body)
    folder, reference = prepare(asked).plan.folder, run(prepare(alone)).folder
    raced, whole = untimed(folder, reference)
    assert raced == whole
    assert stored(folder) == stored(reference)
    assert RunResult.open(folder).document.timing.resumed == 0


def test_the_second_writer_disturbs_nothing_and_gets_a_sentence_with_exit_code_2(tmp_path):
    asked = request_one(tmp_path, waiting_for(tmp_path / "go"), models=5)
    winner = start_evaluation(asked, tmp_path / "temporary")
    folder = prepare(asked).plan.folder
    wait_until((folder / LOCK_NAME).exists)
    with pytest.raises(RunLockedError, match=rf"Process {winner.pid} on .* is writing to "):
        run(prepare(asked))
    with pytest.raises(RunLockedError):
        discard(folder)
    arguments = ["evaluate", asked.method, "--benchmark", asked.benchmark, "--out", str(asked.out), "--workers", "1"]
    loser = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert loser.returncode == 2, loser.stderr
    assert f"error: Process {winner.pid} on " in loser.stderr
    assert "✓" not in loser.stdout, "it was told before its method was checked"
    (tmp_path / "go").touch()
    assert winner.wait(PATIENCE) == 0
    assert len(RunResult.open(folder).document.units) == 10
    assert set(ends(RunResult.open(folder)).values()) == {("ok", "")}
