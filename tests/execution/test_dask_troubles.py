"""What is said, and what goes on, where a cluster is slow, partly gone or refuses."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from harness.execution import clusters, dask_executor
from harness.execution.clusters import named_cluster
from harness.execution.dask_worker import WorkerStoppingError
from harness.execution.evaluate import executor_for, prepare
from harness.execution.runner import SilentObserver
from harness.execution.unit_client import UnitProcessDiedError
from harness.spec.errors import UsageError
from harness.storage import read_json

from .clusters import Cluster
from .support import CHECKOUT, HONEST, PATIENCE, request, request_one, soon, waiting_for
from .test_dask import assert_same, on_cluster, serial_of

INVALID = "error: Batch job submission failed: Invalid partition name specified"
# Takes every job but the first, runs it beside the tests, and ends it with its whole session.
_SBATCH = """#!/bin/sh
if mkdir {folder}/refused 2>/dev/null; then echo "sbatch: {words}" >&2; exit 1; fi
cp "$1" {folder}/job-$$.sh
setsid sh {folder}/job-$$.sh > {folder}/job.log 2>&1 &
echo "Submitted batch job $!"
"""
_SCANCEL = '#!/bin/sh\nkill -- "-$1"\n'


class Listener(SilentObserver):
    """Keeps what is said, and calls `then` at the first time."""

    def __init__(self, then=lambda: None):
        self.said, self._then = [], then

    def noticed(self, notice):
        self.said.append(notice.text)
        if len(self.said) == 1:
            self._then()


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Write a command that comes before those of the system."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name, text):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return write


UNSAID = "bsub ended with exit code 3; submit any job by hand to see why"


@pytest.mark.parametrize(
    ("kind", "command", "told"), [("slurm", "sbatch", f"sbatch: {INVALID}"), ("lsf", "bsub", UNSAID)]
)
def test_a_batch_system_that_refuses_every_job(tmp_path, commands, kind, command, told, capfd):
    commands(command, f"#!/bin/sh\necho '{command}: {INVALID}' >&2\nexit 3\n")
    with pytest.raises(UsageError) as found:
        on_cluster(request_one(tmp_path, HONEST), kind, workers=2)
    assert str(found.value) == f"{kind} takes no job: {told}"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("kind", "command"), [("slurm", "sbatch"), ("lsf", "bsub")])
def test_a_batch_system_that_is_not_there(tmp_path, monkeypatch, kind, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=f"there is no {command} here; run this where jobs of {kind} are submitted"):
        on_cluster(request_one(tmp_path, HONEST), kind)


def test_a_batch_system_that_does_not_answer(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(clusters, "_SUBMIT_SECONDS", 1.0)
    commands("sbatch", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(UsageError, match="slurm takes no job: it has not answered for 1 s"):
        on_cluster(request_one(tmp_path, HONEST), "slurm")


def test_a_job_that_is_refused_once_is_submitted_again(tmp_path, commands, monkeypatch):
    """Two jobs: one is refused, and the units wait until both are there."""
    monkeypatch.setattr(clusters, "_BETWEEN_JOBS", "500ms")
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.2)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    commands("sbatch", _SBATCH.format(folder=tmp_path, words=INVALID))
    commands("scancel", _SCANCEL)
    go = tmp_path / "go"
    asked, listener = request(tmp_path, dict.fromkeys(("first", "second"), waiting_for(go))), Listener()

    def let_go():
        soon(lambda: len(list(tmp_path.glob("runs/*/jobs/begun/*.json"))) >= 2)
        go.touch()

    waiting = threading.Thread(target=let_go, daemon=True)
    waiting.start()
    folder = on_cluster(asked, "slurm", listener, workers=2).folder
    waiting.join(PATIENCE)
    assert listener.said[0] == f"a job was refused, and is submitted again from time to time: sbatch: {INVALID}"
    assert_same(folder, serial_of(asked, tmp_path / "serial"))


def test_a_cluster_without_workers_says_so_and_goes_on_when_one_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_executor, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.1)
    asked = request_one(tmp_path, HONEST)
    with Cluster(tmp_path / "cluster", 0) as cluster:
        listener = Listener(then=cluster.add_worker)
        folder = on_cluster(asked, cluster.address, listener).folder
    assert listener.said[0] == f"no worker is connected; start some with: dask worker {cluster.address}"
    assert_same(folder, serial_of(asked, tmp_path / "serial"))


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_said(tmp_path):
    go = tmp_path / "go"
    asked = request_one(tmp_path, waiting_for(go))
    with Cluster(tmp_path / "cluster", 1) as cluster:

        def come_back():
            cluster.start_scheduler()
            go.touch()

        def lose():
            if soon(lambda: list(tmp_path.glob("runs/*/jobs/begun/*.json"))):
                cluster.kill_scheduler()

        losing, listener = threading.Thread(target=lose, daemon=True), Listener(then=come_back)
        losing.start()
        folder = on_cluster(asked, cluster.address, listener, retries=1000).folder
        losing.join(PATIENCE)
    assert listener.said[0] == "the scheduler is gone; waiting 10 min for it to come back"
    assert_same(folder, serial_of(asked, tmp_path / "serial"))


@pytest.mark.slow
def test_a_job_whose_processes_are_all_told_to_end_gives_its_unit_back(tmp_path):
    """As at the end of its time. Nobody is lost by that: no retry is allowed."""
    go, claims = tmp_path / "go", "runs/*/jobs/begun/*.json"
    asked = request_one(tmp_path, waiting_for(go))

    def begun():
        return {read_json(path)["pid"] for path in tmp_path.glob(claims)}

    with Cluster(tmp_path / "cluster", 1, nanny=True) as cluster:

        def end_a_job():
            if soon(begun):
                before = begun()
                cluster.end_a_job()
                soon(lambda: begun() - before)
            go.touch()

        ending = threading.Thread(target=end_a_job, daemon=True)
        ending.start()
        folder = on_cluster(asked, cluster.address, retries=0).folder
        ending.join(PATIENCE)
        assert cluster.restarts == 1
    assert_same(folder, serial_of(asked, tmp_path / "serial"))


@pytest.mark.parametrize("at", ["local", "lost scheduler", "slurm"])
def test_an_interrupt_at_the_terminal_ends_all_and_says_one_sentence(tmp_path, commands, at):
    """Which every process of the terminal gets: those of a cluster of our own too."""
    asked = request_one(tmp_path, waiting_for(tmp_path / "never"))
    commands("sbatch", f"#!/bin/sh\ntouch {tmp_path}/queued\necho Submitted batch job 7\n")
    commands("scancel", "#!/bin/sh\n")
    waits = "queued" if at == "slurm" else "runs/*/jobs/begun/*.json"
    gone = at == "lost scheduler"
    with Cluster(tmp_path / "cluster", 1 if gone else 0) as cluster:
        where = ["--executor", "dask", "--cluster", cluster.address if gone else at, "--workers", "2"]
        command = [sys.executable, "-m", "harness", "evaluate", asked.method, "--benchmark", asked.benchmark]
        process = subprocess.Popen(
            [*command, "--out", str(asked.out), *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            start_new_session=True,
            # pytest may have been started with this signal ignored, which children inherit
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        said = []
        reading = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
        reading.start()
        try:
            assert soon(lambda: list(tmp_path.glob(waits)))
            if gone:
                cluster.kill_scheduler()
                assert soon(lambda: any("the scheduler is gone" in line for line in said))
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            process.kill()
    reading.join(PATIENCE)
    assert "Traceback" not in "".join(said)
    assert said[-1] == "error: interrupted; the same command goes on from here.\n"


def test_a_unit_that_is_given_back_may_be_so_without_end(tmp_path):
    """Its process may die as often as without."""
    asked = dataclasses.replace(request_one(tmp_path, HONEST), executor="dask", cluster="local", retries=2)
    executor, begun = executor_for(asked, prepare(asked)), Counter()
    assert all(executor._goes_on(WorkerStoppingError("told to end"), "unit", begun) for _ in range(20))
    died = [executor._goes_on(UnitProcessDiedError("killed"), "unit", begun) for _ in range(5)]
    assert died == [True] * 4 + [False]


def test_options_that_dask_jobqueue_does_not_know(tmp_path):
    file = tmp_path / "gpu.toml"
    file.write_text('kind = "slurm"\n[options]\nqueu = "gpu"\nwalltime = "1:00:00"\nworker_extra_args = []\n')
    with pytest.raises(UsageError, match=r"no option of a cluster is called 'queu'; did you mean queue\?$"):
        named_cluster(str(file))
    file.write_text(file.read_text().replace("queu =", "queue ="))
    assert named_cluster(str(file)).options["queue"] == "gpu"
