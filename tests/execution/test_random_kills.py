"""SIGKILL of `harness evaluate` at random instants, for all four kinds of method: what is resumed ends as if undisturbed.

Where kills fall is chance, and nothing rests on it: one that comes after the end counts as none, and the next run starts
with nothing. How long a run takes decides only from which instants is drawn. Compared is every byte of the sealed run but
for `timing` in `run.json`, which says so, and the report, which shows it; the journal tells of each session.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.tracks.attribution.support import GRADIENT
from tests.tracks.attribution.support import write_benchmark as write_images
from tests.tracks.attribution_metric.support import INSIDE, write_meta_benchmark

from .dots import write_dots
from .kills import assert_same_run
from .support import CHECKOUT, HONEST, alive, descendants, processes_with, request, soon

FURTHER_MODELS = """
[[source.models]]
id = "{name}"
modality = "image"
architecture = "cnn"
factory = {{ path = "factory.py" }}
cam_layer = "relu"
"""


def confidence(folder):
    asked = request(folder, {"first": HONEST, "second": HONEST}, models=2)
    return asked.method, asked.benchmark


def attribution(folder):
    benchmark = write_images(folder)
    further = "".join(FURTHER_MODELS.format(name=name) for name in ("other", "third"))
    text = benchmark.read_text().replace("[[source.sets]]", further + "[[source.sets]]")
    benchmark.write_text(text.replace('models = ["small"]', 'models = ["small", "other", "third"]'))
    (folder / "method.py").write_text("from harness import explainer\n" + GRADIENT)
    return folder / "method.py", benchmark


def query(folder):
    write_dots(folder)
    return folder / "method.py", folder / "benchmark.toml"


def metric(folder):
    (folder / "method.py").write_text(INSIDE)
    return folder / "method.py", write_meta_benchmark(folder)


KINDS = {"confidence": confidence, "attribution": attribution, "query": query, "attribution-metric": metric}


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_runs_killed_at_random_instants_end_as_if_undisturbed(tmp_path, kind, kills):
    asked = tmp_path / "asked"
    asked.mkdir()
    command = [sys.executable, "-c", "from harness.cli import main; main()", "evaluate", *map(str, KINDS[kind](asked))]
    command[5:5] = ["--workers", "2", "--device", "cpu", "--memory", "2", "--benchmark"]
    began = time.monotonic()
    assert ended(command, tmp_path / "whole", None)
    longest, rng, fell, runs = time.monotonic() - began, random.Random(f"{kind} {kills}"), 0, 0
    while fell < kills:
        runs += 1
        place, before, done = tmp_path / f"run-{runs}", fell, False
        while not done:
            delay = rng.uniform(0, longest) if fell < kills else None
            done = ended(command, place, delay)
            fell += not done
        if fell == before:
            longest = delay  # the machine was busier when the first run was timed
        assert_same_run(run_in(place), run_in(tmp_path / "whole"), place / "temporary")
        assert not list(place.rglob(".harness-*")), "half-written files are left"
        shutil.rmtree(place)
    print(f"{kind}: {fell} kills fell on {runs} runs")


def ended(command, place, delay):
    """Run for so many seconds, or to the end. Whether it ended by itself; else it was killed, and nothing outlived it."""
    (place / "temporary").mkdir(parents=True, exist_ok=True)
    own = {"TMPDIR": str(place / "temporary"), "HARNESS_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    with (place / "errors").open("w+b") as errors:
        process = subprocess.Popen(
            [*command, "--out", str(place / "runs")],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=CHECKOUT,
            env={**os.environ, **own},
            start_new_session=True,
        )
        below = set()
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            below = descendants(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        errors.seek(0)
        assert code in (0, -signal.SIGKILL), errors.read().decode()
    assert soon(lambda: not alive(below) and not processes_with(str(place))), "a process outlived the run"
    return code == 0


def run_in(place):
    (folder,) = (place / "runs").iterdir()
    return folder
