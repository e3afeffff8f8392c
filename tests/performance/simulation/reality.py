"""The model beside real runs on this machine: what a unit and the journal cost, and whether predictions come true."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness.execution.ended import clear_away, leave, take_up
from harness.execution.evaluate import Request, prepare, run
from harness.execution.job import UnitEnd
from harness.execution.waiting import Room
from harness.spec.result import Record, UnitResult
from harness.storage import Journal
from tests.execution.support import APART, DECLARED, HONEST, IMPORTS, write_benchmark
from tests.performance.simulation.model import Cluster, Step, Task, simulate

WORKERS = 2
# A method that waits for so long in each unit, whose model it tells by its logits; once, although it is asked in parts.
_METHOD = f"""{IMPORTS}
SEEN = set()
{DECLARED}
    number = round(float(outputs.logits.mean()) / {APART})
    if number not in SEEN:
        SEEN.add(number)
        time.sleep({{shortest}} + {{step}} * (number * 7919 % {{units}}))
    {HONEST}
"""


@dataclass(frozen=True)
class Compared:
    """Seconds. start: of a worker, unit: added to each unit, as one worker showed; then a run of other units with two."""

    start: float
    unit: float
    predicted: float
    real: float


class _Clock:
    """Notes when units start and end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def started(self, done: int, total: int) -> None:
        self.times = [time.perf_counter()]

    def finished(self, end: UnitEnd) -> None:
        assert end.result.status == "ok", end.result.reason
        self.times.append(time.perf_counter())

    def progressed(self, progress: object) -> None: ...

    def noticed(self, notice: object) -> None: ...

    def sealing(self) -> None: ...


def compare(units: int = 200, shortest: float = 0.1, longest: float = 0.5) -> Compared:
    """Run units that wait with two workers, and predict how long that takes from a shorter run with one."""
    with tempfile.TemporaryDirectory() as folder:
        few = max(8, units // 5)
        times, waits, _ = _run(Path(folder) / "few", few, 1, (shortest, longest))
        unit = (times[-1] - times[1] - (sum(waits) - waits[0])) / (few - 1)
        start = max(0.0, times[1] - times[0] - waits[0] - unit)
        times, waits, planned = _run(Path(folder) / "many", units, WORKERS, (shortest, longest))
        tasks = [Task(key, (Step(wait),)) for key, wait in zip(planned, waits, strict=True)]
        cluster = Cluster(WORKERS, worker=start, unit=unit, machine=(planned, Room()))
        return Compared(start, unit, simulate(tasks, cluster).makespan, times[-1] - times[0])


def _run(folder: Path, units: int, workers: int, span: tuple[float, float]) -> tuple[list[float], list[float], dict]:
    """When it was begun and when units ended; what each waited for, and the units, in the order of the plan."""
    step = (span[1] - span[0]) / units
    shifts = {f"m{i:03}": APART * i for i in range(units)}
    benchmark = write_benchmark(folder, ["one"], shifts)
    method = folder / "zoo.py"
    method.write_text(_METHOD.format(shortest=span[0], step=step, units=units))
    prepared = prepare(Request(str(method), str(benchmark), out=folder / "runs", device="cpu", workers=workers))
    clock = _Clock()
    run(prepared, clock)
    waits = [span[0] + step * (int(unit.model[1:]) * 7919 % units) for unit in prepared.plan.units.values()]
    return clock.times, waits, prepared.plan.units


def seconds_to_journal(count: int = 300) -> float:
    """Of the one process that journals, for each unit of a cluster: its end read, its answers moved, a line synced."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        names = [leave(folder, _end(number)) for number in range(count)]
        with Journal.open(folder / "journal.log") as journal:
            began = time.perf_counter()
            for number, each in enumerate(names):
                journal.append(take_up(folder, each).canonical())
                clear_away(folder, f"{number:064x}")
            return (time.perf_counter() - began) / count


def _end(number: int) -> UnitEnd:
    records = tuple(Record(metric=f"metric-{i}", value=number / 7, n=number) for i in range(20))
    # Without answers: these are one more file to be moved.
    facts: dict[str, str | int] = {"model": "m", "seed": number, "study": "s", "status": "not-applicable"}
    return UnitEnd(UnitResult(unit=f"{number:064x}", records=records, **facts), 1.0, worker="host:1", memory=1.5)
