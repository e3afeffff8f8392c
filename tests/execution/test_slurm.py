"""Arrays and dask workers as jobs of a real SLURM."""

import dataclasses
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from harness.execution import clusters
from harness.execution.array import gather, write_array
from harness.execution.ended import ends
from harness.execution.evaluate import executor_for, prepare, run
from harness.execution.runner import SilentObserver
from harness.execution.status import run_status
from harness.storage import read_json

from .dots import wanted, write_dots
from .slurm import jobs_left, missing, slurm, wait_for_jobs
from .support import CHECKOUT, HONEST, PATIENCE, request, request_one, soon, stored, untimed, waiting_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
BEHAVIOURS = {"first": HONEST, "second": "raise ValueError('no')", "third": HONEST}


@pytest.fixture(scope="module")
def batch():
    """The environment of a SLURM, and a folder that its jobs see. Paths of sockets must be short."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with slurm(folder) as environment:
            yield environment | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def asked(tmp_path):
    return request(tmp_path, BEHAVIOURS, models=2)


@pytest.fixture
def serial(tmp_path, asked):
    return run(prepare(dataclasses.replace(asked, out=tmp_path / "serial"))).folder


def assert_same(folder, serial):
    several, one = untimed(folder, serial)
    assert several == one
    assert stored(folder) == stored(serial)


def test_an_array_of_jobs(batch, asked, serial):
    prepared = prepare(asked)
    made = write_array(prepared, "slurm")
    subprocess.run(["sbatch", made.script], check=True, env=batch, capture_output=True)
    wait_for_jobs(batch)
    status = run_status(prepared.plan.folder)
    assert (status.units, status.done, status.failed, len(status.running)) == (6, 4, 2, 0), logs_of(
        prepared.plan.folder
    )
    assert_same(gather(prepared.plan.folder, SilentObserver()).folder, serial)


WAITING = """
import os, time
from harness import query_strategy

@query_strategy(version="1")
def entropy(probabilities):
    while not os.path.exists({go!r}):
        time.sleep(0.1)
    mean = probabilities.mean(0)
    return -(mean * mean.clamp_min(1e-12).log()).sum(0)
"""


@pytest.mark.parametrize("how", ["requeue", "submit"])
def test_a_campaign_that_is_told_to_end_goes_on_from_what_it_has_kept(batch, tmp_path, monkeypatch, how):
    """Requeued, as by preemption, or ended by SIGTERM, as before a time limit, and submitted again. The strategy waits when it
    is first asked, so that the first networks are trained by then."""
    go = tmp_path / "go"
    files = write_dots(tmp_path / "files", WAITING.format(go=str(go)))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    batch = batch | {"HARNESS_CACHE": str(tmp_path / "cache")}
    prepared = prepare(wanted(files, tmp_path / "runs"))
    folder, made = prepared.plan.folder, write_array(prepared, "slurm")
    job = submitted(made.script, batch)
    first_loop = "under-way/*/loop_000/*.npz"
    assert soon(lambda: len(list(folder.glob("under-way/*/loop_000/evaluation.npz"))) == 2), logs_of(folder)
    assert soon(lambda: len(run_status(folder).running) == 2)
    before = {each.begun.pid for each in run_status(folder).running}
    kept = {path: path.stat().st_mtime_ns for path in folder.glob(first_loop)}
    if how == "requeue":
        for number in (1, 2):
            subprocess.run(["scontrol", "requeue", f"{job}_{number}"], check=True, env=batch)
        assert soon(lambda: not alive_of(before))
    else:
        subprocess.run(["scancel", "--batch", "--signal=TERM", job], check=True, env=batch)
        wait_for_jobs(batch)
        assert not alive_of(before)
        assert {*ends(folder)} == set(), "a unit that was given back has not ended"
        submitted(made.script, batch)

    def begun_again():
        if how == "requeue":  # by itself it waits two minutes
            for number in (1, 2):
                subprocess.run(["scontrol", "update", f"JobId={job}_{number}", "StartTime=now"], env=batch)
        return len({each.begun.pid for each in run_status(folder).running} - before) == 2

    assert soon(begun_again), logs_of(folder)
    assert all(each.begun.lost == 0 for each in run_status(folder).running), "who was told to end is not lost"
    go.touch()
    seen = set()
    while jobs_left(batch):
        seen |= {(path, modified(path)) for path in folder.glob(first_loop)}
    assert {path for path, _ in seen} == {*kept}
    assert seen - {(path, None) for path in kept} == {*kept.items()}, "nothing of the first loop was made anew"
    found = gather(folder, SilentObserver()).folder
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "another-cache"))
    assert_same(found, run(prepare(wanted(files, tmp_path / "serial"))).folder)


def submitted(script, batch):
    """The number of a job."""
    done = subprocess.run(["sbatch", "--parsable", script], check=True, env=batch, capture_output=True, text=True)
    return done.stdout.strip()


def alive_of(pids):
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def modified(path):
    """When a file was changed, None for one that is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def logs_of(folder):
    return [path.read_text() for path in (folder / "jobs" / "logs").iterdir()]


def test_dask_workers_as_jobs(batch, asked, serial, monkeypatch):
    for name in ("SLURM_CONF", "PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, batch[name])
    asked = dataclasses.replace(asked, executor="dask", cluster="slurm", workers=2)
    prepared = prepare(asked)
    assert_same(run(prepared, None, executor_for(asked, prepared)).folder, serial)
    wait_for_jobs(batch)


def test_a_job_of_dask_that_is_cancelled_gives_its_unit_back(batch, tmp_path, monkeypatch):
    """SLURM signals every process of it. Nobody is lost by that: no retry is allowed, and another job goes on."""
    for name in ("SLURM_CONF", "PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, batch[name])
    monkeypatch.setattr(clusters, "_BETWEEN_JOBS", "1s")
    go = tmp_path / "go"
    here = request_one(tmp_path, waiting_for(go))

    def begun():
        return {read_json(path)["pid"] for path in tmp_path.glob("runs/*/jobs/begun/*.json")}

    def cancel():
        if soon(begun):
            before = begun()
            subprocess.run(["scancel", "--name=harness"], env=batch, check=True)
            soon(lambda: begun() - before)
        go.touch()

    cancelling = threading.Thread(target=cancel, daemon=True)
    cancelling.start()
    asked = dataclasses.replace(here, executor="dask", cluster="slurm", workers=1, retries=0)
    prepared = prepare(asked)
    folder = run(prepared, None, executor_for(asked, prepared)).folder
    cancelling.join(PATIENCE)
    assert_same(folder, run(prepare(dataclasses.replace(here, out=tmp_path / "serial"))).folder)
    wait_for_jobs(batch)
