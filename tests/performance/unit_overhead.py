"""What an executor adds to a unit: PYTHONPATH=. python tests/performance/unit_overhead.py [UNITS]

Units that cost next to nothing (60 samples), one worker. Seconds from the first end to the last are divided by the units
between, so that starting processes does not count; the best of three runs. That is more than what the executor adds, for
the unit's own work, its files and its journal's line are in it. Allowed: 50 ms for local processes, 100 ms for dask (one
worker on this machine). The same units without processes stand beside it.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import sys
import tempfile
import time
from pathlib import Path

from harness.execution.evaluate import Request, executor_for, job_of, prepare, run
from tests.execution.support import DECLARED, HONEST, IMPORTS, write_benchmark
from tests.in_process import HereExecutor

ALLOWED = {"local": 0.050, "dask": 0.100}
_NAMES = {"here": "without processes"}
_REPEATS = 3


class Clock:
    """Notes when units end."""

    def __init__(self):
        self.ends = []

    def started(self, done, total): ...
    def progressed(self, progress): ...
    def noticed(self, notice): ...
    def sealing(self): ...
    def finished(self, end):
        assert end.result.status == "ok", end.result.reason
        self.ends.append(time.perf_counter())


def main(units: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"{units} units, one worker; Python {platform.python_version()}, {platform.processor() or platform.machine()}"
        )
        for name in ("here", *ALLOWED):
            found = 1000 * min(seconds(Path(folder) / str(i), units, name) for i in range(_REPEATS))
            allowed = 1000 * ALLOWED.get(name, math.inf)
            limit = f" (allowed {allowed:.0f}){'' if found <= allowed else '  MISSED'}" if name in ALLOWED else ""
            print(f"{_NAMES.get(name, name):20} {found:7.1f} ms a unit{limit}")


def seconds(folder: Path, units: int, name: str) -> float:
    """From end to end of one unit."""
    benchmark = write_benchmark(folder / name, [f"s{i}" for i in range(units)], {"m": 0})
    method = folder / name / "zoo.py"
    method.write_text(f"{IMPORTS}\n{DECLARED}\n    {HONEST}\n")
    asked = Request(str(method), str(benchmark), out=folder / name / "runs", device="cpu", workers=1)
    clock, prepared = Clock(), prepare(asked)
    executor = HereExecutor(job_of(prepared), 1) if name == "here" else None
    if name == "dask":
        executor = executor_for(dataclasses.replace(asked, executor="dask", cluster="local"), prepared)
    run(prepared, clock, executor)
    return (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100)
