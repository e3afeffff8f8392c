"""SIGKILL while campaigns of active learning are under way: what is taken up again ends as if nothing had been.

The campaigns are the real ones, on images small enough that a whole run takes seconds.
"""

import os
import random
import signal
import textwrap
import time

import numpy as np
import pytest

from harness.execution.evaluate import Request, prepare
from harness.storage import write_arrays

from .support import alive, descendants, soon, start_evaluation, stored, untimed

KILLS, KILLS_BEFORE_THE_END, STAGES = 12, 4, 4

BENCHMARK = """
id = "dots"
version = 1
title = "Dots"
task = "query"
performance = "accuracy"
seeds = [1, 2]
bootstrap = { replicates = 20 }
source.datasets = [
  { kind = "arrays", id = "dots", train = { path = "train.npz" }, test = { path = "test.npz" }, classes = 3 },
]
[[trainings]]
kind = "classifier"
id = "tiny"
network = "small-cnn"
epochs = 6
batch_size = 8
members = 3
optimiser = { learning_rate = 0.05 }
[[studies]]
id = "dots"
group = "dots"
dataset = "dots"
training = "tiny"
start = 6
query = 5
loops = 5
"""

METHOD = """
from harness import query_strategy

@query_strategy(version="1")
def entropy(probabilities):
    mean = probabilities.mean(0)
    return -(mean * mean.clamp_min(1e-12).log()).sum(0)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A benchmark of images with a bright third, left, middle or right, and a strategy."""
    folder = tmp_path_factory.mktemp("dots")
    for name, size, seed in (("train.npz", 90, 0), ("test.npz", 40, 1)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(3, size=size)
        images = rng.uniform(size=(size, 12, 12)) + (np.arange(12) // 4 == labels[:, None])[:, None, :]
        write_arrays(folder / name, {"inputs": images.astype(np.float32), "labels": labels})
    (folder / "benchmark.toml").write_text(BENCHMARK)
    (folder / "method.py").write_text(textwrap.dedent(METHOD))
    return folder


def wanted(files, out):
    return Request(str(files / "method.py"), str(files / "benchmark.toml"), out=out, device="cpu", workers=2)


def finish(asked, temporary):
    process = start_evaluation(asked, temporary)
    started = time.monotonic()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - started


def stage(folder):
    """How many files of campaigns there are: every one is a point from which a run goes on."""
    return len([path for path in (folder / "under-way").rglob("*") if path.is_file()])


def test_campaigns_killed_at_random_instants_end_as_if_uninterrupted(files, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache-whole"))
    asked = wanted(files, tmp_path / "whole")
    whole = prepare(asked).plan.folder
    seconds = finish(asked, temporary)
    rng = random.Random(0)
    kills, attempt, stages = 0, 0, set()
    while kills < KILLS or (len(stages) < STAGES and kills < 3 * KILLS):
        # A cache of its own: the networks of the start are trained, and killed, anew.
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / f"cache{attempt}"))
        asked = wanted(files, tmp_path / f"run{attempt}")
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
    assert kills >= KILLS
    assert len(stages) >= STAGES, "the kills should have found campaigns at different stages"
