"""Runs that are killed, and what must be true of them afterwards."""

import signal
import time

from .support import PATIENCE, alive, descendants, soon, start_evaluation, stored, untimed


def finish(asked, temporary):
    """Run to the end. How many seconds it took from the plan to the seal."""
    process = start_evaluation(asked, temporary)
    started = time.monotonic()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - started


def kill_before(asked, temporary, moment):
    """Run until just before something happens, named as in `kill_point`, which must come."""
    process = start_evaluation(asked, temporary, moment)
    below = set()
    while process.poll() is None:
        below |= descendants(process.pid)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, f"{moment} did not come: {errors.decode()}"
    assert soon(lambda: not alive(below)), "a process outlived the run"


def kill_after(asked, temporary, delay):
    """Run for so many seconds. Whether it was still running then."""
    process = start_evaluation(asked, temporary)
    time.sleep(delay)
    below = descendants(process.pid)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert soon(lambda: not alive(below)), "a process outlived the run"
    return process.returncode == -signal.SIGKILL


def assert_same_run(folder, whole, temporary):
    """A run that was resumed is byte for byte one that was not, but for its times, and left nothing behind."""
    resumed, reference = untimed(folder, whole)
    assert resumed == reference
    assert stored(folder) == stored(whole)
    assert (folder / "method.py").read_bytes() == (whole / "method.py").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
    assert not list(temporary.iterdir()), "temporary folders are left"
