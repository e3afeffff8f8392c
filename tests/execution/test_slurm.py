"""Arrays and dask workers as jobs of a real SLURM."""

import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.execution.array import gather, write_array
from harness.execution.evaluate import executor_for, prepare, run
from harness.execution.runner import SilentObserver
from harness.execution.status import run_status

from .slurm import missing, slurm, wait_for_jobs
from .support import CHECKOUT, HONEST, request, stored, untimed

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
    logs = [path.read_text() for path in (prepared.plan.folder / "jobs" / "logs").iterdir()]
    assert (status.units, status.done, status.failed, len(status.running)) == (6, 4, 2, 0), logs
    assert_same(gather(prepared.plan.folder, SilentObserver()).folder, serial)


def test_dask_workers_as_jobs(batch, asked, serial, monkeypatch):
    for name in ("SLURM_CONF", "PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, batch[name])
    asked = dataclasses.replace(asked, executor="dask", cluster="slurm", workers=2)
    prepared = prepare(asked)
    assert_same(run(prepared, None, executor_for(asked, prepared)).folder, serial)
    wait_for_jobs(batch)
