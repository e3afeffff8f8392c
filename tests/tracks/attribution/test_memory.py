"""What scoring frees stays with its process, so that the next forward pass need not ask the system for it again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# 40 MB, which glibc by default takes from the system, page by page, and gives back each time. Kept memory needs some
# rounds until there is room for all that is aligned.
FAULTS = """
import resource, sys
import torch
from harness.tracks.torch_state import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for round in range(30):
    if round == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(memory: str) -> int:
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS, memory]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=unset).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_memory_is_taken_from_the_system_once() -> None:
    assert faults("kept") < 0.1 * faults("given back")
