"""Descendants are found whether the kernel lists children or every process is looked at."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.execution import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows processes as files")
TREE = "sleep 300 & sh -c 'sleep 300 & sleep 300 & wait' & echo up; wait"


@pytest.mark.parametrize("listed", [True, False])
def test_descendants_are_found_and_killed(listed, monkeypatch):
    if listed and not Path("/proc/thread-self/children").exists():
        pytest.skip("this kernel lists no children")
    if not listed:
        monkeypatch.setattr(processes, "_listed", None)
        monkeypatch.setattr(Path, "exists", lambda path: False)
    with subprocess.Popen(["sh", "-c", TREE], stdout=subprocess.PIPE) as root:
        assert root.stdout.readline() == b"up\n"
        while processes.count_below(root.pid) < 4:  # the second shell is still starting its own
            pass
        below = processes._descendants(root.pid)
        assert len(below) == 4
        processes.kill_below(root.pid)
        assert processes._descendants(root.pid) == []
        root.kill()


def test_processor_seconds_count_what_is_used_by_the_living_and_the_ended_and_not_what_is_slept(tmp_path):
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    before = processes.processor_seconds()
    time.sleep(0.3)
    assert processes.processor_seconds() - before < 0.2, "sleep costs nothing"
    subprocess.run([sys.executable, "-c", busy], check=True)
    ended = processes.processor_seconds() - before
    assert ended >= 0.3
    with subprocess.Popen([sys.executable, "-c", busy + "print(flush=True)\ninput()"], stdin=-1, stdout=-1) as child:
        assert child.stdout.readline()  # it lives on, and has done its work
        assert processes.processor_seconds() - before >= ended + 0.25
        child.stdin.close()
