"""A million units planned, named by their hashes, and subtracted from a journal in which half of them have ended:
PYTHONPATH=. python tests/performance/plan_scale.py [UNITS] [FOLDER]

The protocols are those of nnActive (16 settings, each with as many seeds as it takes) and of FD-Shifts (its networks, each
trained as many times as it takes). A fresh process does what `harness evaluate` does before the first unit starts:
`prepare`, then the journal is opened and `unfinished` says what is left. Allowed: 30 s of a processor and 2 GB. The journal
and the files of answers are made beforehand and count for nothing. Beside it: what local processes ask on top, the memory
that units needed in past runs.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import tomli_w

from harness.data.catalog import benchmark_files
from harness.data.toml import read_extended
from harness.execution.answers import outputs_path
from harness.execution.evaluate import Prepared, Request, prepare
from harness.execution.job import UnitEnd
from harness.execution.past import earlier
from harness.execution.plan import unit_result
from harness.execution.room import room_for
from harness.execution.run_files import JOURNAL
from harness.execution.runner import unfinished
from harness.spec.kinds import kind_of
from harness.spec.result import Record
from harness.spec.run import Unit
from harness.storage import Journal
from harness.storage.journal import _Content, _encode, _extend

SECONDS, GIGABYTES = 30.0, 2.0


def campaigns(units: int) -> dict[str, Any]:
    """nnActive with enough seeds."""
    fields = _protocol("query-nnactive@1")
    return fields | {"seeds": list(range(-(-units // len(fields["studies"]))))}


def networks(units: int) -> dict[str, Any]:
    """FD-Shifts with enough networks of the family that methods without a head are asked about."""
    fields = _protocol("confidence-fdshifts@1")
    own = 372  # such units of the protocol as it is
    for experiment in fields["source"]["experiments"]:
        experiment["grids"] = [each for each in experiment["grids"] if each["family"] == fields["default_family"]]
        for grid in experiment["grids"]:
            grid["runs"] = list(range(1, 1 + -(-units // own) * len(grid["runs"])))
    return fields


PROTOCOLS: dict[str, Callable[[int], dict[str, Any]]] = {"nnActive": campaigns, "FD-Shifts": networks}


def request(folder: Path, fields: dict[str, Any]) -> Request:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "benchmark.toml"
    path.write_text(re.sub(r",\n +(?=\d)", ", ", tomli_w.dumps(fields)))  # a number a line would make it too long
    return asked(path, fields["task"])


def asked(path: Path, task: str) -> Request:
    return Request(kind_of(task).simple_method, str(path), out=path.parent / "runs", device="cpu")


def write_journal(prepared: Prepared, share: float = 0.5) -> int:
    """A journal as a run leaves it that was ended after a share of its units, and the files of their answers; returns how
    many units that were. Written in one piece: a journal syncs each line."""
    plan = prepared.plan
    half = int(len(plan.units) * share)
    outputs_path(plan.folder, "").parent.mkdir(parents=True, exist_ok=True)
    names = prepared.track.metric_versions()
    content = _Content()
    with (plan.folder / JOURNAL).open("wb") as stream:
        about = {"method": plan.spec.method.name, "device": plan.spec.device, "limit": None, "units": len(plan.units)}
        for record in ({"session": "2026-01-01", "run": plan.id, "about": about}, *_ends(plan.units, names, half)):
            line, content = _extend(content, _encode(record))
            stream.write(line)
    for key in islice(plan.units, half):
        outputs_path(plan.folder, key).touch()
    return half


def _ends(units: Any, metrics: dict[str, str], count: int) -> Any:
    for number, unit in enumerate(islice(units.values(), count)):
        records = tuple(Record(metric=name, value=number / 7, n=number) for name in metrics)
        result = unit_result(unit, "ok", "").model_copy(update={"outputs": f"{number:064x}", "records": records})
        yield UnitEnd(result, 3600 + number / 3, worker="host:1", memory=3.25, fence="landlock 6").canonical()


def left(asked: Request) -> tuple[Prepared, dict[str, Unit]]:
    """What `harness evaluate` knows of its units before the first one starts."""
    prepared = prepare(asked)
    with Journal.open(prepared.plan.folder / JOURNAL) as journal:
        return prepared, unfinished(journal, prepared.plan)


def main(units: int, folder: Path) -> None:
    for name in PROTOCOLS:
        for step in ("--write", "--measure"):  # a process keeps the peak of the one that started it
            subprocess.run([sys.executable, __file__, step, name, str(units), str(folder / name)], check=True)


def write(name: str, units: int, folder: Path) -> None:
    prepared = prepare(request(folder, PROTOCOLS[name](units)))
    done = write_journal(prepared)
    size = (prepared.plan.folder / JOURNAL).stat().st_size / 1e6
    print(f"{name}: {len(prepared.plan.units):,} units, {done:,} of them in a journal of {size:,.0f} MB", flush=True)


def measure(name: str, units: int, folder: Path) -> None:
    task = "query" if name == "nnActive" else "confidence"
    prepared, remaining = left(asked(folder / "benchmark.toml", task))
    count = len(prepared.plan.units)
    assert len(remaining) == count - count // 2 >= units // 2, f"{len(remaining)} of {count} units are left"
    seconds, peak = time.process_time(), _peak()
    verdict = "reached" if seconds <= SECONDS and peak <= GIGABYTES else "MISSED"
    print(f"  {seconds:.1f} s of a processor (at most {SECONDS:g}), {peak:.2f} GB (at most {GIGABYTES:g}): {verdict}")
    room_for(prepared.track, prepared.plan.units, "cpu", earlier(prepared.plan))
    more = time.process_time() - seconds
    print(f"  {more:.1f} s more until local processes know what units took before; {_peak():.2f} GB")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _protocol(name: str) -> dict[str, Any]:
    return read_extended(benchmark_files()[name])


if __name__ == "__main__":
    if sys.argv[1:2] in (["--write"], ["--measure"]):
        {"--write": write, "--measure": measure}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(int((*sys.argv[1:], 10**6)[0]), Path(sys.argv[2] if sys.argv[2:] else temporary))
