"""Paper-scale campaigns on 1 to 1,000 graphics processors, as a discrete-event model of the executors has them:
PYTHONPATH=. python tests/performance/cluster_simulation.py [FOLDER]

Prints tables and writes them with plots into FOLDER/simulation.html (default runs/bench). Units are those of `harness plan`,
their lengths the declared costs with a log-normal spread; medians of five draws of failures and waits, on the same units.
Each campaign is begun again, at once, until all its units have ended well.
What is assumed stands in `PLACES`; the last table compares the model with a run of 200 short units on this machine.
"""

from __future__ import annotations

import io
import math
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

from jinja2 import Template
from matplotlib.figure import Figure

from harness.storage import write_text
from tests.performance.simulation.model import (
    Cluster,
    EndlessError,
    Outcome,
    Step,
    Task,
    lower_bound,
    simulate,
)
from tests.performance.simulation.reality import compare, seconds_to_journal
from tests.performance.simulation.workloads import CAMPAIGNS, SPREAD, tasks_of

HOUR, DAY = 3600.0, 86400.0
WORKERS = (1, 10, 100, 1000)
SEEDS = range(5)
# A worker is there 5 min after it was asked for, is ready after 20 s, and begins a unit in 30 s (data, weights, networks).
_USUAL = Cluster(1, queue=300.0, worker=20.0, unit=30.0, head=0.01)
PLACES = {
    "nothing fails": _USUAL,
    "a worker vanishes every 1,000 h, jobs of 3 days": replace(
        _USUAL, mtbf=1000 * HOUR, deaths=1e4 * HOUR, walltime=3 * DAY
    ),
    "every 200 h, jobs of 1 day": replace(_USUAL, mtbf=200 * HOUR, deaths=2000 * HOUR, walltime=DAY),
}
_BY_JOBS = ("workers that stay", "sessions", "work lost", "a job for each unit", "sessions", "work lost")
_RETRIES = (0, 1, 2, 5)
_COLUMNS = ("campaign", "GPUs", "lower bound", *PLACES, "overhead", "work lost", "done twice")
_PAGE = Template(
    """<!doctype html><html lang="en"><meta charset="utf-8"><title>Campaigns on clusters, simulated</title>
<style>body{font:16px/1.5 system-ui;max-width:90rem;margin:2rem auto;padding:0 1rem}td,th{padding:.2rem .7rem;text-align:right;
border-bottom:1px solid #ccc}td{white-space:nowrap}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;margin-top:2rem}</style>
<h1>Campaigns on clusters, simulated</h1><p>{{ about }}</p>
{% for title, columns, rows in tables %}<h2>{{ title }}</h2><table><tr>{% for each in columns %}<th>{{ each }}{% endfor %}
{% for row in rows %}<tr>{% for each in row %}<td>{{ each }}{% endfor %}
{% endfor %}</table>
{% endfor %}{{ plots | safe }}</html>
""",
    autoescape=True,
)


@dataclass(frozen=True)
class Cell:
    """A campaign on so many workers, in each place."""

    campaign: str
    workers: int
    bound: float
    places: tuple[tuple[Outcome, ...], ...]

    def makespan(self, place: int) -> float:
        return median(each.makespan for each in self.places[place])

    def hours(self, what: str, place: int) -> float:
        return median(getattr(each, what) for each in self.places[place]) / HOUR

    def row(self) -> tuple[str, ...]:
        """With overhead and what was lost as in the second place."""
        return (
            *(self.campaign, f"{self.workers:,}", _length(self.bound), *map(self._span, range(len(self.places)))),
            f"{100 * median(each.overhead for each in self.places[1]):.0f} %",
            *(f"{self.hours(what, 1):,.1f} h" for what in ("lost", "twice")),
        )

    def _span(self, place: int) -> str:
        sessions = round(median(len(each.sessions) for each in self.places[place]))
        again = f", {sessions} sessions" if sessions > 1 else ""
        return f"{_length(self.makespan(place))} ({self.makespan(place) / self.bound:.2f}{again})"


def campaigns() -> Iterator[Cell]:
    for campaign in CAMPAIGNS:
        tasks = tasks_of(campaign)
        for workers in WORKERS:
            yield cell(f"{campaign.title} ({len(tasks)} units)", tasks, workers)


def cell(title: str, tasks: Sequence[Task], workers: int) -> Cell:
    found = [
        tuple(simulate(tasks, replace(place, workers=workers), seed) for seed in SEEDS) for place in PLACES.values()
    ]
    return Cell(title, workers, lower_bound(tasks, workers), tuple(found))


def walltimes(tasks: Sequence[Task]) -> Iterator[tuple[str, ...]]:
    """What the length of jobs does to long trainings, of which nothing is kept until they end."""
    longest = max(step.seconds for task in tasks for step in task.steps)
    for hours in (12, 24, 48, 72, 168, math.inf):
        row = [
            f"{hours:g} h" if hours < math.inf else "no limit",
            f"{hours * HOUR / longest:.1f}" if hours < math.inf else "–",
        ]
        for array in (False, True):
            row += _told(tasks, replace(_USUAL, workers=100, walltime=hours * HOUR, mtbf=1000 * HOUR, array=array))
        yield tuple(row)


def retries(tasks: Sequence[Task]) -> Iterator[tuple[str, ...]]:
    """What `--retries` does: from 2 on, units with which two workers were lost wait for all others."""
    for workers, (title, place) in product(WORKERS[1:], list(PLACES.items())[1:]):
        told = [_told(tasks, replace(place, workers=workers, retries=count)) for count in _RETRIES]
        yield (title, f"{workers:,}", *(f"{span} ({sessions})" for span, sessions, _ in told))


def _told(tasks: Sequence[Task], place: Cluster) -> tuple[str, str, str]:
    """Makespan, sessions, and hours of work that were lost."""
    try:
        found = [simulate(tasks, place, seed) for seed in SEEDS]
    except EndlessError:
        return "never", "–", "–"
    sessions = round(median(len(each.sessions) for each in found))
    lost = median(each.lost for each in found) / HOUR
    return _length(median(each.makespan for each in found)), str(sessions), f"{lost:,.0f} h"


def shortest_units(head: float = _USUAL.head) -> Iterator[tuple[str, ...]]:
    """How short units may be until the one process that journals holds 1,000 workers up, whose starts count for nothing."""
    for seconds in (1, 5, 10, 30, 100):
        tasks = [Task(str(i), (Step(seconds),)) for i in range(20_000)]
        found = [simulate(tasks, Cluster(workers, head=head)).makespan for workers in WORKERS]
        yield (f"{seconds} s", *(f"{span / lower_bound(tasks, w):.2f}" for w, span in zip(WORKERS, found, strict=True)))


def main(folder: Path) -> None:
    about = (
        f"Python {platform.python_version()}, {platform.machine()}. Units of harness plan, their lengths declared costs with a "
        f"log-normal spread of {SPREAD:g}. A worker: 5 min in the queue, 20 s to start; a unit: 30 s to its first step, 10 ms "
        "of the process that journals. Medians of 5 draws; in brackets times the lower bound, max(work / GPUs, longest unit), and "
        "how often the campaign was begun until all units had ended well, where that was more than once. The last three columns: "
        "where a worker vanishes every 1,000 h. Overhead is all time of GPUs that is no work which counts, idle time included."
    )
    cells = list(campaigns())
    campaign = tasks_of(CAMPAIGNS[0])
    real, journal = compare(), seconds_to_journal()
    off = 100 * (real.predicted / real.real - 1)
    tables = [
        ("Makespans", _COLUMNS, [each.row() for each in cells]),
        (
            "Length of jobs: nnActive, one strategy, 100 GPUs, a worker vanishes every 1,000 h",
            ("jobs of", "longest trainings", *_BY_JOBS),
            list(walltimes(campaign)),
        ),
        (
            "Retries: nnActive, its 8 strategies (sessions in brackets)",
            ("", "GPUs", *(f"--retries {count}" for count in _RETRIES)),
            list(retries(tasks_of(CAMPAIGNS[1]))),
        ),
        (
            "20,000 short units, times the lower bound",
            ("unit", *(f"{w:,} workers" for w in WORKERS)),
            list(shortest_units()),
        ),
        (
            "The model beside this machine: 200 units on two local workers",
            ("worker starts", "added to a unit", "predicted", "real", "difference", "a unit journaled"),
            [
                (
                    *(f"{each:.2f} s" for each in (real.start, real.unit, real.predicted, real.real)),
                    f"{off:+.1f} %",
                    f"{1000 * journal:.1f} ms",
                )
            ],
        ),
    ]
    for title, columns, rows in tables:
        print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "simulation.html", _PAGE.render(about=about, tables=tables, plots=_plots(cells)))
    print(f"\n{folder / 'simulation.html'}")


def _plots(cells: Sequence[Cell]) -> str:
    """An SVG: what is written by matplotlib, without what comes before its element."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    names = list(dict.fromkeys(each.campaign for each in cells))
    axes = figure.subplots(2, len(names), sharex=True, squeeze=False)
    for column, name in enumerate(names):
        own = [each for each in cells if each.campaign == name]
        gpus = [each.workers for each in own]
        above, below = axes[:, column]
        above.loglog(gpus, [each.bound / HOUR for each in own], "k--", label="lower bound")
        for number, place in enumerate(PLACES):
            above.loglog(gpus, [each.makespan(number) / HOUR for each in own], "o-", label=place)
            below.semilogx(gpus, [100 * median(one.overhead for one in each.places[number]) for each in own], "o-")
        above.set_title(name, fontsize=9)
        below.set_xlabel("GPUs")
    axes[0, 0].set_ylabel("makespan in hours")
    axes[1, 0].set_ylabel("time of GPUs without useful work, %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return "<svg" + stream.getvalue().partition("<svg")[2]


def _length(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:,.1f} h"


if __name__ == "__main__":
    main(Path((*sys.argv[1:], "runs/bench")[0]))
