"""What scoring frees stays with its process, so that the next forward pass need not ask the system for it again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Five times 40 MB, which glibc by default takes from the system, page by page, and gives back each time.
FAULTS = """
import resource, sys
import torch
from harness.tracks.attribution.scoring import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(memory: str) -> int:
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS, memory]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=unset).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_memory_is_taken_from_the_system_once() -> None:
    assert faults("kept") < 0.5 * faults("given back")
