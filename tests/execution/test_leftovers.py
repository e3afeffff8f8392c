"""Nothing outlives a run: no process, no temporary folder, no descriptor."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.data.scratch import offered_folder, private_folder
from harness.execution.child import ChildProcess, end_abandoned
from harness.execution.evaluate import prepare, run
from harness.execution.executor import LocalExecutor
from harness.execution.job import Job
from harness.storage import StorageError

from .support import (
    HONEST,
    PATIENCE,
    alive,
    descendants,
    ends,
    processes_with,
    request,
    request_one,
    run_each,
    soon,
    start_evaluation,
    waiting_for,
)

# Each leaves a sleeping child behind, found by its marker. `env` and setsid try to make it unrecognisable.
_POPEN = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300) # {marker}']{how})\n"
_FORK = "if os.fork() == 0:\n    {how}os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(300) # {marker}'])\n"
CHILDREN = {
    "child": _POPEN.format(how="", marker="{marker}"),
    "own-session": _POPEN.format(how=", start_new_session=True", marker="{marker}"),
    "own-session-no-token": _POPEN.format(how=", start_new_session=True, env={{}}", marker="{marker}"),
    "twice-forked": _FORK.format(how="os.setsid(); os.fork() and os._exit(0); ", marker="{marker}"),
    "then-dies": _POPEN.format(how=", start_new_session=True", marker="{marker}") + "os._exit(0)\n",
    "then-dies-no-token": _POPEN.format(how=", start_new_session=True, env={{}}", marker="{marker}") + "os._exit(0)\n",
}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files of a test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_no_child_of_a_method_outlives_the_run(tmp_path, temporary):
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    seen = []

    class Watch:
        def started(self, done, total): ...
        def finished(self, end):
            seen.append(len(processes_with(marker)))

        def sealing(self): ...

    behaviours = {name: body.format(marker=marker) + HONEST for name, body in CHILDREN.items()}
    result = run_each(tmp_path, behaviours, Watch())
    assert max(seen) >= 3, "the children must have been there, or nothing is shown"
    assert soon(lambda: not processes_with(marker))
    assert [status for status, _ in ends(result).values()] == ["ok"] * 4 + ["failed"] * 2
    assert list(temporary.iterdir()) == []


def test_a_killed_run_leaves_no_process_and_its_folder_is_cleared_by_the_next(tmp_path):
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    temporary = tmp_path / "temporary"
    body = CHILDREN["own-session"].format(marker=marker) + "time.sleep(60)\n" + HONEST
    process = start_evaluation(request_one(tmp_path / "slow", body), temporary)
    assert soon(lambda: processes_with(marker))
    ours = {each for each in descendants(process.pid) if each[0] not in processes_with(marker)}
    assert len(ours) == 3, "a unit process, a worker and what watches over it"
    process.kill()
    process.communicate()
    assert soon(lambda: not alive(ours))
    assert len(list(temporary.iterdir())) == 1
    done = start_evaluation(request_one(tmp_path / "next", HONEST), temporary)
    _, errors = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, errors
    assert soon(lambda: not processes_with(marker))
    assert list(temporary.iterdir()) == []


def test_clearing_leaves_living_runs_alone(temporary):
    child = ChildProcess("tests.execution.idle")
    stranger = temporary / "harness-of-somebody-else"
    stranger.mkdir()
    try:
        end_abandoned()
        assert child.folder.is_dir()
        assert child.ended() is None
        assert stranger.is_dir()
    finally:
        child.kill()
    assert list(temporary.iterdir()) == [stranger]


@pytest.mark.parametrize("made", [offered_folder, private_folder])
def test_folders_that_a_killed_process_offered_or_hid_are_cleared(temporary, made):
    """Pools that a check offers, and copies of volumes with their labels, lie beside the folders of child processes."""
    left = f"from harness.data.scratch import {made.__name__}; folder = {made.__name__}(); (folder.path / 'labels').touch(); "
    left += "print(folder.path, flush=True); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run(
        [sys.executable, "-c", left], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(temporary)}
    )
    path = Path(killed.stdout.strip())
    assert (path / "labels").exists()
    assert path.parent.parent == temporary
    with made() as held:
        end_abandoned()
        assert not path.exists()
        assert held.is_dir()
    assert not list(held.parent.iterdir())


def test_a_child_has_no_descriptor_but_its_own(tmp_path):
    """A second worker must not hold the first one's connection, or the harness's open files."""
    body = """
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    found = sorted(os.readlink(link).split(":")[0].split("/")[-1] for link in links if os.path.islink(link))
    raise ValueError(" ".join(found))
    """
    with (tmp_path / "secret").open("w") as kept:
        os.set_inheritable(kept.fileno(), True)
        result = run(prepare(request_one(tmp_path, body, models=2, workers=2)))
    found = {unit.reason.split(": ")[1].split(" (")[0] for unit in result.document.units}
    assert found == {"null output.log output.log socket"}


def test_no_descriptor_is_left_open_here(tmp_path, temporary):
    asked = request_one(tmp_path, HONEST)
    run(prepare(asked))
    before = open_descriptors()
    prepared = prepare(asked)
    (prepared.plan.folder / "journal.log").unlink()
    run(prepared)
    assert open_descriptors() == before


def open_descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.1])
def test_stopping_while_a_process_is_being_started(tmp_path, temporary, delay, monkeypatch):
    """The process must not go on with its unit after the run has given its lock back."""
    before = descendants(os.getpid())  # others may have started helpers that stay, such as a resource tracker
    prepared = prepare(request_one(tmp_path, "time.sleep(60)", workers=2))
    started = threading.Event()
    real = ChildProcess.__init__

    def slow(self, *arguments, **keywords):
        started.set()
        time.sleep(delay)
        real(self, *arguments, **keywords)

    monkeypatch.setattr(ChildProcess, "__init__", slow)
    job = Job(prepared.protocol.path, prepared.method, prepared.plan.folder, prepared.limits)
    running = LocalExecutor(job, 1).run(prepared.plan.units)
    consumer = threading.Thread(target=lambda: next(running, None), daemon=True)
    threads = threading.active_count()
    consumer.start()
    assert started.wait(PATIENCE)
    worker = next(each for each in threading.enumerate() if type(each).__name__ == "_Worker")
    worker.stop()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert soon(lambda: threading.active_count() <= threads + 1)
    assert list(temporary.iterdir()) == []
    assert not descendants(os.getpid()) - before


def test_a_system_without_room_for_processes_is_no_fault_of_the_method(tmp_path, monkeypatch):
    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    prepared = prepare(request_one(tmp_path, HONEST))
    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(StorageError, match=r"Could not start a process .*: No space left on device\."):
        run(prepared)


def test_a_child_whose_parent_ended_before_it_asked_leaves_at_once():
    code = "from harness.execution.guard import die_with_parent; die_with_parent(1); print('still here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_unit_process_that_dies_takes_only_its_unit_with_it(tmp_path, temporary, number):
    killed = []

    class Killer:
        def started(self, done, total): ...
        def finished(self, end):
            if not killed:
                killed.extend(processes_with("harness.execution.unit_process"))
                killed[:] = [pid for pid, _ in descendants(os.getpid()) if pid in killed]
                os.kill(killed[0], number)

        def sealing(self): ...

    behaviours = {"first": HONEST, "second": waiting_for(tmp_path / "go"), "third": HONEST}
    asked = request(tmp_path, behaviours)
    found = ends(run(prepare(asked), Killer()))
    assert len(killed) == 1
    assert found["first"] == found["third"] == ("ok", "")
    assert found["second"] == ("failed", f"the unit process died (exit code -{int(number)})")
    assert list(temporary.iterdir()) == []
    assert not Path(f"/proc/{killed[0]}").exists()
    (tmp_path / "go").touch()
    assert set(ends(run(prepare(asked))).values()) == {("ok", "")}, "the next run tries it again"
