"""Runs that are killed, and what must be true of them afterwards."""

import signal
import time

from harness.data.scratch import offers_scratch, private_scratch

from .support import PATIENCE, alive, descendants, soon, start_evaluation, stored, untimed


def finish(asked, temporary):
    """Run to the end."""
    process = start_evaluation(asked, temporary)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()


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


def assert_same_run(folder, whole, temporary):
    """A run that was resumed is byte for byte one that was not, but for its times, and left nothing behind."""
    resumed, reference = untimed(folder, whole)
    assert resumed == reference
    assert stored(folder) == stored(whole)
    assert (folder / "method.py").read_bytes() == (whole / "method.py").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
    kept = (private_scratch().name, offers_scratch().name)  # one of each for all runs of a user, and nothing in them
    assert {path.name for path in temporary.rglob("*")} <= set(kept), "temporary folders are left"
