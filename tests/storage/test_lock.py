"""One writer for each directory: never two, and never none because of a dead one."""

import errno
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from harness.storage import RunLock, RunLockedError, StorageError
from harness.storage import lock as module
from harness.storage.lock import LOCK_NAME

HOLDER = """
import sys
from harness.storage import RunLock
try:
    with RunLock(sys.argv[1]):
        print("won", flush=True)
        sys.stdin.read()
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def dead_pid():
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def write_lock(directory, **changes):
    """The lock this process would hold, with some of its fields changed."""
    owner = module._this_process()._asdict() | changes
    (directory / LOCK_NAME).write_text(json.dumps(owner))


def assert_can_be_locked(directory):
    with RunLock(directory):
        assert json.loads((directory / LOCK_NAME).read_text())["pid"] == os.getpid()
    assert not list(directory.iterdir())


def test_the_lock_names_its_owner_and_is_gone_afterwards(tmp_path):
    with RunLock(str(tmp_path)) as lock:
        owner = json.loads(lock.path.read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert_can_be_locked(tmp_path)


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(KeyError), RunLock(tmp_path):
        raise KeyError
    assert_can_be_locked(tmp_path)


def test_a_process_cannot_hold_the_lock_twice(tmp_path):
    with RunLock(tmp_path), pytest.raises(RunLockedError, match=f"Process {os.getpid()} "), RunLock(tmp_path):
        pass
    assert_can_be_locked(tmp_path)


def test_exactly_one_of_two_processes_wins_and_the_other_is_told_who(tmp_path):
    processes = [start(HOLDER, tmp_path) for _ in range(2)]
    answers = {process.pid: process.stdout.readline().strip() for process in processes}
    for process in processes:
        process.communicate()
    [winner] = [pid for pid, answer in answers.items() if answer == "won"]
    [loser] = [answer for answer in answers.values() if answer != "won"]
    assert loser == (
        f"RunLockedError Process {winner} on {socket.gethostname()} is writing to {tmp_path}. "
        f"Wait for it to end, or stop it with `kill {winner}`, then try again."
    )
    assert_can_be_locked(tmp_path)


@pytest.mark.parametrize("reaped", [True, False])
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, reaped):
    process = start(HOLDER, tmp_path)
    assert process.stdout.readline() == "won\n"
    process.kill()
    if reaped:
        process.wait()
    else:  # a zombie still has its number, but runs no more
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert (tmp_path / LOCK_NAME).exists()
    assert_can_be_locked(tmp_path)
    process.communicate()


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid(), 1 << 21], ids=["own", "parent", "free"])
def test_a_process_of_this_host_that_does_not_hold_the_lock_has_ended(tmp_path, pid):
    """Whoever has its number today: the kernel knows who holds it."""
    write_lock(tmp_path, pid=pid)
    assert_can_be_locked(tmp_path)


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"space": "pid:[1]"}])
def test_a_lock_of_another_host_is_never_judged(tmp_path, other):
    write_lock(tmp_path, pid=dead_pid(), **other)
    with pytest.raises(RunLockedError) as raised, RunLock(tmp_path):
        pass
    message = str(raised.value)
    assert other.get("host", socket.gethostname()) in message
    assert message.endswith(f"If it does not, delete {tmp_path / LOCK_NAME} and try again.")
    (tmp_path / LOCK_NAME).unlink()
    assert_can_be_locked(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"host":1,"pid":1,"space":""}']
    + [f'{{"host":"h","pid":{pid},"space":""}}' for pid in ("0", "-1", "1e3", '"1"')],
)  # fmt: skip
def test_a_lock_without_an_owner_is_not_taken_over(tmp_path, monkeypatch, text):
    monkeypatch.setattr(module, "_WRITING_SECONDS", 0.02)
    (tmp_path / LOCK_NAME).write_text(text)
    with pytest.raises(RunLockedError, match=r"names no owner\. If no run is active"), RunLock(tmp_path):
        pass
    assert (tmp_path / LOCK_NAME).read_text() == text


def test_a_lock_that_is_just_being_written_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / LOCK_NAME).touch()
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: write_lock(tmp_path, pid=os.getppid(), host="x"))
    with pytest.raises(RunLockedError, match=f"Process {os.getppid()} on x"), RunLock(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_lock_that_cannot_be_written_is_a_storage_error(tmp_path, monkeypatch, code, call):
    def fail(*_args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        sentence = f"Could not lock {re.escape(str(tmp_path))}: {os.strerror(code)}"
        with pytest.raises(StorageError, match=sentence), RunLock(tmp_path):
            pass
    assert_can_be_locked(tmp_path)


def test_a_missing_directory_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"), RunLock(tmp_path / "absent"):
        pass


def test_a_forked_child_leaves_its_parents_lock_alone(tmp_path):
    with RunLock(tmp_path) as lock:
        child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        assert lock.path.exists()
    assert not lock.path.exists()


def test_a_lock_that_was_deleted_by_hand_and_taken_by_another_is_left_alone(tmp_path):
    with RunLock(tmp_path):
        write_lock(tmp_path, host="elsewhere")
    assert (tmp_path / LOCK_NAME).exists()


CONTENDER = """
import filelock, os, sys
from harness.storage import RunLock, RunLockedError
directory, wins = sys.argv[1], 0
inside = os.path.join(directory, "inside")
while wins < 10:
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, 7):
            sys.exit("two were inside")
        wins += code == 7
        continue
    try:
        with RunLock(directory):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if another one is inside
            os.unlink(inside)
            if os.getpid() % 3:
                os._exit(7)  # without giving the lock back
        os._exit(7)
    except RunLockedError:
        os._exit(0)
    finally:
        os._exit(1)
"""


def test_many_takers_of_dead_locks_are_never_inside_together(tmp_path):
    processes = [start(CONTENDER, tmp_path) for _ in range(4)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4
    assert not (tmp_path / "inside").exists()
