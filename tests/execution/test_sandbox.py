"""The sandbox keeps out what the plain worker lets through; every attack here is shown to work without it."""

import os
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.data.catalog import bundled_folder
from harness.data.embedded import folders
from harness.execution import sandbox
from harness.execution.evaluate import prepare, run
from harness.execution.sandbox import MOST_PROCESSES, Sandbox, sandbox_available
from tests.execution.support import HONEST, alive, descendants, ends, processes_with, request, request_one, soon

REASON = sandbox_available()
LIMIT = re.compile(r"(RLIMIT_[A-Z]+)=(-?\d+)/(-?\d+)/(True|False)")
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))

# Each asserts what only a method that is locked in can say, and then answers honestly.
CALL = "subprocess.run({command!r}, capture_output=True, timeout=10)"
CAT = """
read = subprocess.run(["cat", {path!r}], capture_output=True).stdout
assert not read, "labels were read"
"""
NATIVE = """
fd = ctypes.CDLL(None).open({path!r}.encode(), 0)
assert fd < 0, "labels were read"
"""
LISTS = """
found = subprocess.run(["find", {path!r}, "-type", "f"], capture_output=True).stdout
assert not found, "private files were listed"
"""
WRITES = """
subprocess.run(["touch", {path!r}], capture_output=True)
fd = ctypes.CDLL(None).open({path!r}.encode(), os.O_CREAT | os.O_WRONLY, 0o644)
assert fd < 0, "a file was planted"
"""
CONNECTS = """
code = "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0, "it spoke to the network"
"""
NEIGHBOURS = """
assert len([name for name in os.listdir("/proc") if name.isdecimal()]) < 10, "it sees other processes"
"""
PRIVILEGES = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, "it has capabilities"
assert int(status["NoNewPrivs"]) == 1, "it may gain privileges"
CLONE_NEWUSER = 0x10000000
assert ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0, "it can make a user namespace"
"""


@pytest.fixture
def listener():
    """The port of a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def run_inside(asked, inside=True):
    prepared = prepare(asked)
    return run(replace(prepared, limits=replace(prepared.limits, fence="bubblewrap" if inside else "none")))


def attacks(folder, port):
    """Name -> an attack that gets through the plain worker."""
    table, home = str(folder / "benchmark" / "cat.npz"), str(folder / "home")
    return {
        "cat": CAT.format(path=table),
        "native": NATIVE.format(path=table),
        "journal": CAT.format(path=str(folder / "home" / "key")),
        "lists": LISTS.format(path=str(bundled_folder("submissions"))),
        "images": LISTS.format(path=str(folders()[0])),
        "plants": WRITES.format(path=home + "/planted"),
        "library": WRITES.format(path=str(folder / "benchmark" / "planted")),
        "connects": CONNECTS.format(port=port),
        "neighbours": NEIGHBOURS,
        "privileges": PRIVILEGES,
    }


@needs_sandbox
@pytest.mark.parametrize("inside", [True, False], ids=["sandbox", "worker"])
def test_every_attack_ends_at_the_sandbox_and_only_there(tmp_path, listener, inside):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "key").write_text("secret")
    behaviours = {name: f"{code}\n{HONEST}" for name, code in attacks(tmp_path, listener).items()}
    end = ends(run_inside(request(tmp_path, behaviours), inside))
    assert {name: status for name, (status, _) in end.items()} == dict.fromkeys(end, "ok" if inside else "failed"), end
    assert (tmp_path / "home" / "planted").exists() is not inside


@needs_sandbox
def test_an_honest_method_gives_the_same_numbers_inside_and_outside(tmp_path):
    writes = "np.save('mine.npy', np.zeros(3)); import tempfile, multiprocessing\n"
    writes += "tempfile.TemporaryFile().write(b'x'); multiprocessing.Semaphore()\n"
    asked = {inside: request_one(tmp_path / str(inside), writes + HONEST) for inside in (True, False)}
    inside, outside = (run_inside(each, name) for name, each in asked.items())
    assert not inside.failed
    assert [unit.outputs for unit in inside.document.units] == [unit.outputs for unit in outside.document.units]
    assert inside.document.summary == outside.document.summary
    table = np.load(tmp_path / "True" / "benchmark" / "m0.npz", allow_pickle=False)["logits"][:60].astype(np.float64)
    top = (np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)).max(axis=1)
    (confidence,) = next(iter(inside.outputs().values())).values()
    np.testing.assert_allclose(confidence, top, rtol=1e-5)


@needs_sandbox
def test_how_a_worker_in_a_sandbox_ends_is_told_as_ever(tmp_path):
    behaviours = {
        "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
        "memory": "keep = np.ones(1 << 29)\n" + HONEST,
        "endless": "while True: pass",
        "honest": HONEST,
    }
    asked = replace(request(tmp_path, behaviours), memory=1.0, timeout=5.0)
    end = ends(run_inside(asked))
    assert end["crash"][0] == "failed"
    assert "SIGSEGV" in end["crash"][1]
    assert end["memory"][0] == "out-of-memory"
    assert end["endless"][0] == "timeout"
    assert end["honest"] == ("ok", "")


@needs_sandbox
def test_processes_are_limited_and_none_outlives_the_run(tmp_path):
    nap = f"9{os.getpid()}.25"
    behaviours = {
        "bomb": f"kept = [subprocess.Popen(['sleep', {nap!r}]) for _ in range(500)]; time.sleep(600)\n" + HONEST,
        "daemon": f"subprocess.Popen(['sleep', {nap!r}], start_new_session=True, env={{}})\n" + HONEST,
    }
    end = ends(run_inside(request(tmp_path, behaviours)))
    status, reason = end["bomb"]
    assert status == "failed"
    assert f"more than {MOST_PROCESSES} processes" in reason or "BlockingIOError" in reason, reason
    assert end["daemon"][0] == "ok"
    assert not processes_with(nap)


@needs_sandbox
def test_limits_hold_inside_and_cannot_be_raised(tmp_path):
    """The worker sets them before any user code runs; without capabilities nobody in the sandbox lifts them again."""
    limits = """
    import resource
    said = []
    for name in ('RLIMIT_AS', 'RLIMIT_FSIZE', 'RLIMIT_CORE', 'RLIMIT_NPROC'):
        which = getattr(resource, name)
        soft, hard = resource.getrlimit(which)
        try:
            resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            raised = resource.getrlimit(which)[0] == resource.RLIM_INFINITY
        except (ValueError, OSError):
            raised = False
        said.append(f'{name}={soft}/{hard}/{raised}')
    raise RuntimeError(' '.join(said))
    """
    status, reason = ends(run_inside(replace(request(tmp_path, {"limits": limits}), memory=1.0)))["limits"]
    assert status == "failed"
    found = {name: (int(soft), int(hard), raised == "True") for name, soft, hard, raised in LIMIT.findall(reason)}
    soft, hard, raised = found.pop("RLIMIT_AS")
    assert 2**30 <= soft == hard < 16 * 2**30, "what the worker had, and one GiB"
    assert not raised
    assert found.pop("RLIMIT_FSIZE") == (2**30, 2**30, False)
    assert found.pop("RLIMIT_CORE") == (0, 0, False)
    soft, hard, raised = found.pop("RLIMIT_NPROC")
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= (5, 14):
        assert (soft, hard, raised) == (MOST_PROCESSES, MOST_PROCESSES, False)


@needs_sandbox
def test_a_killed_harness_takes_the_sandbox_with_it(tmp_path):
    asked = request_one(tmp_path, f"time.sleep(60)\n{HONEST}", timeout=100.0)
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from harness.execution.evaluate import Request, prepare, run\n"
        "asked = prepare(Request(sys.argv[1], sys.argv[2], out=Path(sys.argv[3]), workers=1))\n"
        "run(replace(asked, limits=replace(asked.limits, fence='bubblewrap')))\n"
    )
    command = [sys.executable, "-c", code, asked.method, asked.benchmark, str(asked.out)]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        assert soon(lambda: len(descendants(process.pid)) >= 4)  # unit process, two of bubblewrap, worker
        family = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
    assert soon(lambda: not alive(family))


def test_says_why_there_is_no_sandbox(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.sandbox_available.cache_clear()
    try:
        assert sandbox_available() == "bubblewrap (the program bwrap) is not installed"
        fake = tmp_path / "bwrap"
        fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        sandbox.sandbox_available.cache_clear()
        assert sandbox_available() == "bubblewrap cannot run here: bwrap: No permissions to create a new namespace"
    finally:
        sandbox.sandbox_available.cache_clear()


def test_only_folders_that_a_worker_would_see_are_covered(tmp_path):
    """A folder that is not shown needs no cover, and covering it would show its name."""
    shown = sandbox._visible_folders()[0]
    below = next(each for each in sorted(os.scandir(shown), key=lambda each: each.name) if each.is_dir()).path
    command = Sandbox((str(tmp_path), os.path.realpath(below))).around(["true"], tmp_path / "scratch")
    covered = [command[i + 1] for i, word in enumerate(command) if word == "--tmpfs"]
    assert covered == [os.path.realpath(below), "/dev/shm"]
    assert command[0] == (shutil.which("bwrap") or "bwrap")


def test_a_single_file_that_a_worker_would_see_is_covered(tmp_path):
    file = os.path.realpath(sandbox.__file__)
    command = Sandbox((file, str(tmp_path / "elsewhere"))).around(["true"], tmp_path / "scratch")
    at = command.index("/dev/null")
    assert command[at - 1 : at + 2] == ["--ro-bind", "/dev/null", file]
    assert command.count("/dev/null") == 1
