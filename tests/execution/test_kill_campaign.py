"""SIGKILL while campaigns of active learning are under way: what is taken up again ends as if nothing had been.

The campaigns are the real ones, on images small enough that a whole run takes seconds.
"""

import os
import random
import signal
import time

import pytest

from harness.execution.evaluate import prepare

from .dots import wanted, write_dots
from .support import alive, descendants, soon, start_evaluation, stored, untimed

KILLS_BEFORE_THE_END, STAGES = 4, 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_dots(tmp_path_factory.mktemp("dots"))


def finish(asked, temporary):
    process = start_evaluation(asked, temporary)
    started = time.monotonic()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - started


def stage(folder):
    """How many files of campaigns there are: every one is a point from which a run goes on."""
    return len([path for path in (folder / "under-way").rglob("*") if path.is_file()])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("wished", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_campaigns_killed_at_random_instants_end_as_if_uninterrupted(files, tmp_path, monkeypatch, wished):
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache-whole"))
    asked = wanted(files, tmp_path / "whole", workers=2)
    whole = prepare(asked).plan.folder
    seconds = finish(asked, temporary)
    rng = random.Random(0)
    kills, attempt, stages = 0, 0, set()
    while kills < wished or (len(stages) < min(STAGES, wished - 1) and kills < 3 * wished):
        # A cache of its own: the networks of the start are trained, and killed, anew.
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / f"cache{attempt}"))
        asked = wanted(files, tmp_path / f"run{attempt}", workers=2)
        folder = prepare(asked).plan.folder
        for _ in range(KILLS_BEFORE_THE_END):
            process = start_evaluation(asked, temporary)
            time.sleep(rng.uniform(0, seconds))
            below = descendants(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), errors.decode()
            assert soon(lambda: not alive(below), 10), "a process outlived the run"  # noqa: B023
            kills += process.returncode == -signal.SIGKILL
            stages.add(stage(folder))
        finish(asked, temporary)
        resumed, reference = untimed(folder, whole)
        assert resumed == reference
        assert stored(folder) == stored(whole)
        assert not list(temporary.iterdir()), "temporary folders are left"
        attempt += 1
    assert kills >= wished
    assert len(stages) >= min(STAGES, wished - 1), "the kills should have found campaigns at different stages"
