"""Descendants are found whether the kernel lists children or every process is looked at."""

import subprocess
import sys
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
