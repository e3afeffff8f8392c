"""Units on real dask clusters of this machine: whatever is killed, the run is byte for byte the serial one."""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from harness.execution import dask_executor, ended
from harness.execution.clusters import Wanted, job_options, named_cluster
from harness.execution.evaluate import evaluate, executor_for, prepare, run
from harness.execution.method_process import Limits
from harness.execution.status import run_status
from harness.spec.cluster import ClusterSpec
from harness.spec.errors import UsageError
from harness.storage import StorageError

from .clusters import Cluster, sums
from .dots import wanted, write_dots
from .support import HONEST, PATIENCE, ends, processes_with, request, request_one, soon, stored, untimed, waiting_for

SLOWLY = "time.sleep(0.3)\n" + HONEST


def on_cluster(asked, cluster, observer=None, **wishes):
    asked = dataclasses.replace(asked, executor="dask", cluster=cluster, **wishes)
    prepared = prepare(asked)
    return run(prepared, observer, executor_for(asked, prepared))


def serial_of(asked, out):
    return run(prepare(dataclasses.replace(asked, out=out, workers=1))).folder


def assert_same(folder, serial):
    several, one = untimed(folder, serial)
    assert several == one
    assert stored(folder) == stored(serial)
    assert sums(folder) == sums(serial)
    assert {path.name for path in folder.iterdir()} == {path.name for path in serial.iterdir()}


def test_a_local_cluster_gives_the_serial_run(tmp_path, in_this_process):
    asked = request(tmp_path, {"first": HONEST, "second": "raise ValueError('no')"}, models=2)
    folder = on_cluster(asked, "local", workers=2).folder
    assert_same(folder, serial_of(asked, tmp_path / "serial"))
    assert soon(lambda: not processes_with(str(folder))), "a process outlived the run"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_killed_every_few_seconds(tmp_path):
    """Four workers. A kill may fall before, in or between units, or on none: whatever falls, nothing is lost."""
    asked = request(tmp_path, {f"m{i}": SLOWLY for i in range(6)}, models=4)
    serial = serial_of(asked, tmp_path / "serial")
    with Cluster(tmp_path / "cluster", 4) as cluster, cluster.kill_now_and_then((3.0, 9.0), seed=1):
        folder = on_cluster(asked, cluster.address, retries=1000).folder
    assert_same(folder, serial)
    print(f"{cluster.kills} kills")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_campaigns_on_workers_that_are_killed(tmp_path, monkeypatch):
    """Units that train: each goes on, on another worker, from what is kept of it."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    files = write_dots(tmp_path / "files")
    asked = wanted(files, tmp_path / "runs")
    serial = serial_of(asked, tmp_path / "serial")
    with Cluster(tmp_path / "cluster", 2) as cluster, cluster.kill_now_and_then((8.0, 20.0), seed=2):
        folder = on_cluster(asked, cluster.address, retries=1000).folder
    assert_same(folder, serial)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_scheduler_that_is_killed_and_comes_back(tmp_path):
    go = tmp_path / "go"
    behaviours = {"first": HONEST, "second": waiting_for(go), "third": waiting_for(go), "fourth": HONEST}
    asked = request(tmp_path, behaviours)
    with Cluster(tmp_path / "cluster", 2) as cluster:
        failed = []

        def restart():
            if not soon(lambda: list(tmp_path.glob("runs/*/jobs/begun/*.json"))):
                failed.append("no unit was begun")
            cluster.kill_scheduler()
            time.sleep(1)
            cluster.start_scheduler()
            go.touch()

        restarting = threading.Thread(target=restart, daemon=True)
        restarting.start()
        folder = on_cluster(asked, cluster.address, retries=1000).folder
        restarting.join(PATIENCE)
    assert not failed
    assert_same(folder, serial_of(asked, tmp_path / "serial"))


@contextlib.contextmanager
def meeting(tmp_path, label, retries, met):
    """Call `met(begun, done)` of each process that works on a unit, with how many units have ended by then; not of one that
    only gives the unit up."""
    over, known = threading.Event(), set()

    def look():
        while not over.wait(0.1):
            for folder in tmp_path.glob("runs/small-*"):
                status = run_status(folder) if (folder / "jobs" / "job.json").exists() else None
                for begun in (each.begun for each in status.running) if status else ():
                    given_up = begun.lost > retries or len(begun.deaths) == 2
                    if begun.label == label and begun.pid not in known and not given_up:
                        known.add(begun.pid)
                        met(begun, status.done)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join(PATIENCE)


@pytest.mark.slow
def test_a_unit_whose_workers_are_lost_is_lost_and_the_rest_goes_on(tmp_path):
    """Every worker that takes up the unit is killed in it."""
    behaviours = {"bad": waiting_for(tmp_path / "never"), **{f"good{i}": HONEST for i in range(3)}}
    asked = request(tmp_path, behaviours)

    def kill(begun, done):
        os.kill(parent_of(begun.pid), signal.SIGKILL)

    with Cluster(tmp_path / "cluster", 2) as cluster, meeting(tmp_path, "one · bad", 1, kill):
        found = ends(on_cluster(asked, cluster.address, retries=1))
    assert found.pop("bad") == ("lost", "2 workers were lost while it was under way")
    assert set(found.values()) == {("ok", "")}


@pytest.mark.slow
@pytest.mark.parametrize("recovers", [True, False])
def test_a_unit_that_kills_two_workers_is_set_apart_and_the_rest_goes_on(tmp_path, recovers):
    """Its third and last chance comes when all others have ended, and nothing else is lost with it."""
    go, good, ended_before = tmp_path / "go", [f"good{i}" for i in range(4)], []
    asked = request(tmp_path, {"bad": waiting_for(go), **dict.fromkeys(good, SLOWLY)})

    def kill(begun, done):
        ended_before.append(done)
        if recovers and len(ended_before) == 3:
            go.touch()
        else:
            os.kill(parent_of(begun.pid), signal.SIGKILL)

    with Cluster(tmp_path / "cluster", 2) as cluster, meeting(tmp_path, "one · bad", 2, kill):
        result = on_cluster(asked, cluster.address, retries=2)
    found = ends(result)
    assert len(ended_before) == 3
    assert ended_before[-1] == len(good), "the others had ended before it was begun for the third time"
    assert found.pop("bad") == (("ok", "") if recovers else ("lost", "3 workers were lost while it was under way"))
    assert found == dict.fromkeys(good, ("ok", ""))
    if recovers:
        assert_same(result.folder, serial_of(asked, tmp_path / "serial"))


@pytest.mark.slow
def test_a_unit_that_kills_two_unit_processes_is_left_and_the_rest_goes_on(tmp_path):
    behaviours = {"bad": waiting_for(tmp_path / "never"), **{f"good{i}": HONEST for i in range(3)}}
    asked = request(tmp_path, behaviours)
    killed = []

    def kill(begun, done):
        killed.append(begun.pid)
        os.kill(begun.pid, signal.SIGKILL)

    with meeting(tmp_path, "one · bad", 5, kill):
        found = ends(on_cluster(asked, "local", workers=2, retries=5))
    assert found.pop("bad") == (
        "failed",
        "the unit process died (exit code -9), 2 times: it is not tried again in this run",
    )
    assert set(found.values()) == {("ok", "")}
    assert len(killed) == 2


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def left_by_a_job(tmp_path):
    """A run's folder, an end that a worker left in it, and the answers beside it."""
    from harness.execution.array import write_array
    from harness.execution.job import read_job
    from tests.in_process import UnitProcessHere

    prepared = prepare(request_one(tmp_path, HONEST))
    write_array(prepared, "slurm")
    folder = prepared.plan.folder
    unit = next(iter(prepared.plan.units.values()))
    (folder / "outputs").mkdir()
    UnitProcessHere(read_job(folder)).run(unit)
    (end,), (answers,) = ended.ends(folder), (folder / "jobs" / "ended").glob("*.npz")
    return folder, end, answers


@pytest.mark.parametrize("late", ["end", "answers", "both"])
def test_files_that_come_into_sight_later(tmp_path, late, monkeypatch):
    folder, end, answers = left_by_a_job(tmp_path)
    hidden = [path for path, name in ((end, "end"), (answers, "answers")) if late in (name, "both")]
    for path in hidden:
        path.rename(tmp_path / path.name)
    looks = []

    def look_again(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            for path in hidden:
                (tmp_path / path.name).rename(path)

    monkeypatch.setattr(ended.time, "sleep", look_again)
    found = ended.take_up(folder, end.name, PATIENCE)
    assert found.result.status == "ok"
    assert len(looks) == 3
    assert len(stored(folder)) == 1


def test_files_that_never_come_into_sight(tmp_path):
    folder, end, answers = left_by_a_job(tmp_path)
    answers.unlink()
    with pytest.raises(
        StorageError, match=r"did not come into sight within 0\.5 s; the run's folder must lie where all"
    ):
        ended.take_up(folder, end.name, 0.5)


def test_an_end_whose_answers_were_moved_before_a_kill_is_taken_up_again(tmp_path):
    folder, end, _ = left_by_a_job(tmp_path)
    first = ended.take_up(folder, end.name)
    assert ended.take_up(folder, end.name) == first


def test_clusters_that_are_named_wrongly(tmp_path):
    asked = request_one(tmp_path, HONEST)

    def refused(match, **wishes):
        with pytest.raises(UsageError, match=match):
            evaluate(dataclasses.replace(asked, **wishes))

    refused("no executor is called 'desk'; did you mean dask", executor="desk")
    refused("no cluster is called 'slrum'; did you mean slurm", executor="dask", cluster="slrum")
    refused("--cluster slurm goes with --executor dask", cluster="slurm")
    refused("there is no such file", executor="dask", cluster="gone.toml")
    refused("--retries must be a whole number of at least 0, it is -1", executor="dask", retries=-1)
    (tmp_path / "bad.toml").write_text('kind = "slurm"\naddress = "tcp://head:8786"')
    refused("describes no cluster: .*go together", executor="dask", cluster=str(tmp_path / "bad.toml"))
    for address in ("tcp://", "tcp://head", "tcp://head:", "tcp://head:8786/status"):
        refused(f"{address} is no address of a scheduler; one is tcp://head:8786", executor="dask", cluster=address)
    (tmp_path / "bare.toml").write_text('kind = "scheduler"\naddress = "head:8786"')
    refused("head:8786 is no address of a scheduler", executor="dask", cluster=str(tmp_path / "bare.toml"))


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("harness.execution.clusters.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--executor dask needs dask; install it with: pip install 'reliabench\[cl"):
        named_cluster("local")


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_executor, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(UsageError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        on_cluster(request_one(tmp_path, HONEST), "tcp://127.0.0.1:9")


@pytest.mark.parametrize("kind", ["slurm", "lsf"])
def test_what_a_user_has_a_job_do_first_comes_after_what_outlives_sigterm(tmp_path, kind):
    """By the file of a cluster, or else by dask's own configuration."""
    import dask

    wanted, own = Wanted(1, Limits(), tmp_path), ["module load cuda"]
    configured = {f"jobqueue.{kind}.job-script-prologue": ["source env.sh"]}
    assert job_options(named_cluster(kind), wanted)["job_script_prologue"] == ["trap : TERM"]
    with dask.config.set(configured):
        assert job_options(named_cluster(kind), wanted)["job_script_prologue"] == ["trap : TERM", "source env.sh"]
        described = ClusterSpec(kind=kind, options={"job_script_prologue": own, "queue": "long"})
        options = job_options(described, wanted)
    assert options["job_script_prologue"] == ["trap : TERM", *own]
    assert options["queue"] == "long"


@pytest.mark.parametrize("kind", ["slurm", "lsf"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_job_scripts_of_clusters(tmp_path, kind, device):
    """What dask-jobqueue makes of it: one unit at a time, and a graphics processor as a resource."""
    from dask_jobqueue.lsf import LSFJob
    from dask_jobqueue.slurm import SLURMJob

    limits = Limits(gibibytes=6.0, threads=2, device=device)
    options = job_options(named_cluster(kind), Wanted(3, limits, tmp_path))
    del options["scheduler_options"]
    extra = {"lsf_units": "mb"} if kind == "lsf" else {}
    job = {"slurm": SLURMJob, "lsf": LSFJob}[kind]
    script = job(scheduler="tcp://head:8786", name="w", **options, **extra).job_script()
    card = device == "cuda"
    assert script.index("trap : TERM") < script.index("--nthreads")
    assert "--nthreads 1" in script.rpartition("--nthreads 2")[2], "the last one counts"
    assert ("--resources GPU=1" in script) is card
    assert (("--gres=gpu:1" if kind == "slurm" else '-gpu "num=1"') in script) is card
    assert ("#SBATCH --cpus-per-task=2" if kind == "slurm" else "#BSUB -n 2") in script
