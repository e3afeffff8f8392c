"""Executors as a discrete-event model: how long a campaign takes on so many workers, and what failures cost.

The rules are those of the harness, and where they can be called they are called: what comes next on one machine
(`waiting.Waiting`), when a unit is given up (`unit_server.given_up`), how long a vanished worker's claim holds
(`claims.VOID_AFTER`). On a cluster units are begun in the order of the plan, as dask does; those that kept nothing while
`MOST_DEATHS` workers were lost with them wait until all others have ended, and are then begun again, all at once. A session is one
`harness evaluate`, or one array; the next one tries what did not end well. All numbers are seconds.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from harness.execution.claims import VOID_AFTER
from harness.execution.unit_server import MOST_DEATHS, given_up
from harness.execution.waiting import Room, Waiting
from harness.spec.run import Unit


@dataclass(frozen=True)
class Step:
    """Work that is kept once it is done: for its unit, or, where it has a `product`, for all that need this product."""

    seconds: float
    product: str = ""


@dataclass(frozen=True)
class Task:
    """A unit as work: steps one after the other. deadly: its process dies in the first step, however often it is begun."""

    key: str
    steps: tuple[Step, ...]
    deadly: bool = False


@dataclass(frozen=True)
class Cluster:
    """What runs the tasks.

    queue: mean wait in a batch system's queue for a worker, exponential. worker, unit: from then on until a worker is ready,
    and from a unit's begin to its first step. head: of the one process that journals, for each unit. mtbf, deaths: mean time
    until a worker vanishes, and, of work, until a unit process dies; exponential. walltime: of a worker, which then gives its
    unit back. machine: units and room of a single machine, whose processes take units by model and memory, and on which
    nothing vanishes. array: a worker for each unit, as the jobs of a batch system's array are, instead of workers that stay;
    one that vanishes is started again, a unit whose job's time is up is left to the next session.
    """

    workers: int
    queue: float = 0.0
    worker: float = 0.0
    unit: float = 0.0
    head: float = 0.0
    mtbf: float = math.inf
    deaths: float = math.inf
    walltime: float = math.inf
    retries: int | None = 2
    array: bool = False
    machine: tuple[Mapping[str, Unit], Room] | None = None


@dataclass
class Outcome:
    """seconds, summed over workers, of: work that counts (`useful`); steps that were begun and not kept (`lost`); products
    made that another one had made meanwhile (`twice`); starts of workers and units (`starting`); claims of vanished workers
    waited for (`held`). sessions: of each, the status by task of all that it had. most: memory that tasks under way needed
    together at most."""

    workers: int
    makespan: float = 0.0
    useful: float = 0.0
    lost: float = 0.0
    twice: float = 0.0
    starting: float = 0.0
    held: float = 0.0
    most: float = 0.0
    sessions: list[dict[str, str]] = field(default_factory=list)

    @property
    def ends(self) -> dict[str, str]:
        """The last status of every task."""
        return {key: status for session in self.sessions for key, status in session.items()}

    @property
    def overhead(self) -> float:
        """Share of the workers' time until the end that was no useful work: idle, waiting, starting, lost or done twice."""
        return 1 - self.useful / (self.workers * self.makespan)


def lower_bound(tasks: Sequence[Task], workers: int) -> float:
    """No executor is faster: all work divided among the workers, products made once; and the longest task. (Steps with
    a product come in the same order in all tasks that share them, so none finds a later one made before an earlier.)"""
    products = {step.product: step.seconds for task in tasks for step in task.steps if step.product}
    own = sum(step.seconds for task in tasks for step in task.steps if not step.product)
    return max((own + sum(products.values())) / workers, *(sum(step.seconds for step in task.steps) for task in tasks))


MISSING = "missing"
"""The status of a task that its session left without an end."""
_MOST_SESSIONS = 1000


def simulate(tasks: Sequence[Task], cluster: Cluster, seed: int = 0, sessions: int = _MOST_SESSIONS) -> Outcome:
    """Sessions, one right after the other, until all tasks that are not deadly have ended well, or so many.

    What tasks kept and what products were made outlives a session. Raises EndlessError where a step is longer than a
    worker has time for it, so that its task never ends.
    """
    if max(step.seconds for task in tasks for step in task.steps) + cluster.unit >= cluster.walltime:
        raise EndlessError
    found, work, left = Outcome(cluster.workers), _Kept(), list(tasks)
    while len(found.sessions) < sessions:
        _Session(left, cluster, (seed, len(found.sessions)), work, found).run()
        left = [task for task in left if found.sessions[-1][task.key] != "ok"]
        if all(task.deadly for task in left):
            return found
    if sessions == _MOST_SESSIONS:
        raise EndlessError
    return found


class EndlessError(Exception):
    """Some task never ends."""


@dataclass
class _Kept:
    """What lies on disk. steps: done, by task; products: made by any."""

    steps: Counter[str] = field(default_factory=Counter)
    products: set[str] = field(default_factory=set)


class _InOrder:
    """Tasks in the order of the plan; those of lost workers keep their place, others that are begun again come last."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._place = {key: number for number, key in enumerate(keys)}
        self._heap = list(enumerate(keys))
        self._next = len(keys)

    def __len__(self) -> int:
        return len(self._heap)

    def take(self, model: str | None) -> str | None:
        return heapq.heappop(self._heap)[1] if self._heap else None

    def begin_again(self, key: str, *, first: bool) -> None:
        place = self._place[key] if first else self._next
        self._next += 1
        heapq.heappush(self._heap, (place, key))

    def give_back(self, key: str) -> None:
        """Nothing is shared."""


class _Session:
    def __init__(
        self, tasks: Sequence[Task], cluster: Cluster, seed: tuple[int, int], work: _Kept, found: Outcome
    ) -> None:
        self.env = simpy.Environment()
        self.cluster, self.seed, self.work, self.found = cluster, seed, work, found
        self.tasks = {task.key: task for task in tasks}
        self.waiting: Any = _InOrder(list(self.tasks))
        if cluster.machine:
            units, room = cluster.machine
            self.waiting = Waiting({key: units[key] for key in self.tasks}, room)
        self.vanished, self.died, self.begun = Counter[str](), Counter[str](), Counter[str]()
        self.apart, self.at_last = list[str](), set[str]()
        self.void_from: dict[str, float] = {}
        self.under_way: set[str] = set()
        self.head, self.journaled = simpy.Resource(self.env), 0
        self.idle: dict[int, simpy.Event] = {}
        self.numbers, self.rng = itertools.count(), np.random.default_rng([*seed, len(tasks)])
        self.over = self.env.event()
        self.ends: dict[str, str] = {}

    def run(self) -> None:
        for number in range(min(self.cluster.workers, len(self.tasks))):
            self.env.process(self._worker(np.random.default_rng([*self.seed, number])))
        self.env.run(until=self.over)
        self.found.makespan += self.env.now
        self.found.sessions.append(self.ends)

    def _worker(self, rng: np.random.Generator) -> Generator[Any, Any, None]:
        """A place for a worker: one that has gone is replaced after a wait in the queue."""
        env, cluster = self.env, self.cluster
        while not self._all_ended():
            if cluster.array and not self.waiting:  # no job is there for nothing
                yield from self._idle(math.inf)
                continue
            yield env.timeout(_drawn(rng, cluster.queue) + cluster.worker)
            self.found.starting += cluster.worker
            vanishes, stops = env.now + _drawn(rng, cluster.mtbf), env.now + cluster.walltime
            yield from self._life(vanishes, stops, rng)

    def _life(self, vanishes: float, stops: float, rng: np.random.Generator) -> Generator[Any, Any, None]:
        """Of a worker that is ready: unit after unit, or the one that a job is for."""
        machine, model = self.cluster.machine, None
        while self.env.now < min(vanishes, stops) and not self._all_ended():
            key = self.waiting.take(model)
            if key is not None:
                model = machine[0][key].model if machine else None
                self.under_way.add(key)
                self._note_memory()
                yield from self._unit(self.tasks[key], vanishes, stops, rng)
                self.under_way.discard(key)
                self.waiting.give_back(key)
                self._begin_those_apart()
                self._wake()
            if self.cluster.array:
                return
            if key is None:
                yield from self._idle(min(vanishes, stops))

    def _idle(self, until: float) -> Generator[Any, Any, None]:
        woken, number = self.env.event(), next(self.numbers)
        self.idle[number] = woken
        yield woken if until == math.inf else woken | self.env.timeout(until - self.env.now)
        self.idle.pop(number, None)

    def _unit(self, task: Task, vanishes: float, stops: float, rng: np.random.Generator) -> Generator[Any, Any, None]:
        """In one worker: until it has ended, is set apart, or is left to another one."""
        env, key = self.env, task.key
        held = max(0.0, self.void_from.get(key, 0.0) - env.now)
        if not (yield from self._spend(held, min(vanishes, stops), "held")):
            self._left(key, vanished=vanishes <= stops)  # it was not in the unit yet: that has lost nobody more
            return
        if self._is_set_apart(key):
            self.apart.append(key)
            return
        kept = self._kept(task)
        while (status := given_up(self.died[key], self.vanished[key], self.cluster.retries)) is None:
            dies = (
                env.now
                + self.cluster.unit
                + (task.steps[0].seconds / 2 if task.deadly else _drawn(rng, self.cluster.deaths))
            )
            until = min(vanishes, stops, dies)
            ready = yield from self._spend(self.cluster.unit, until, "starting")
            while ready and self.work.steps[key] < len(task.steps):
                ready = yield from self._step(task.steps[self.work.steps[key]], key, until)
            if ready:
                status = "ok"
                break
            if self._kept(task) > kept:
                kept, self.vanished[key] = self._kept(task), 0
            if until < dies:
                if vanishes <= stops:
                    self.vanished[key] += 1
                    self.void_from[key] = env.now + VOID_AFTER
                self._left(key, vanished=vanishes <= stops)
                return
            self.died[key] += 1
            if self.cluster.machine:
                status = "failed"
                break
            if not self.cluster.array:  # where it is tried again by the same job
                self._died(key)
                return
        self._end(key, status)

    def _kept(self, task: Task) -> int:
        """Steps of its own that a task has done; products lie elsewhere."""
        return sum(not step.product for step in task.steps[: self.work.steps[task.key]])

    def _is_set_apart(self, key: str) -> bool:
        """Where others are waiting or under way: of workers that stay, as jobs of an array know of no others."""
        retries = math.inf if self.cluster.retries is None else self.cluster.retries
        stay = not (self.cluster.array or self.cluster.machine)
        return stay and key not in self.at_last and self.vanished[key] >= MOST_DEATHS and retries >= MOST_DEATHS

    def _begin_those_apart(self) -> None:
        """When no other is left."""
        if not self.under_way and not self.waiting:
            self.at_last.update(self.apart)
            for key in self.apart:
                self.waiting.begin_again(key, first=False)
            self.apart.clear()

    def _left(self, key: str, *, vanished: bool) -> None:
        """By a worker that is gone: dask begins the unit of one that vanished in its place, and a batch system the job."""
        if vanished:
            self.waiting.begin_again(key, first=True)
        elif self.cluster.array:
            self._end(key, MISSING)
        else:
            self._submit_again(key)

    def _died(self, key: str) -> None:
        """The process of a unit, which is lost after it was begun too often."""
        self.begun[key] += 1
        if self.begun[key] > MOST_DEATHS + (self.cluster.retries or 0):
            self._end(key, "lost")
        else:
            self._submit_again(key)

    def _submit_again(self, key: str) -> None:
        """A unit whose process died, or that was given back."""
        if len(self.ends) < len(self.tasks) - 1:
            self.at_last.discard(key)
        else:
            self.at_last.add(key)
        self.waiting.begin_again(key, first=False)

    def _step(self, step: Step, key: str, until: float) -> Generator[Any, Any, bool]:
        if step.product not in self.work.products:
            began = self.env.now
            if not (yield from self._spend(step.seconds, until, "useful")):
                self.found.useful -= self.env.now - began
                self.found.lost += self.env.now - began
                return False
            if step.product in self.work.products:
                self.found.useful -= step.seconds
                self.found.twice += step.seconds
            elif step.product:
                self.work.products.add(step.product)
        self.work.steps[key] += 1
        return True

    def _spend(self, seconds: float, until: float, what: str) -> Generator[Any, Any, bool]:
        """Whether so many seconds could be spent before the worker or the process ended."""
        spent = min(seconds, max(0.0, until - self.env.now))
        yield self.env.timeout(spent)
        setattr(self.found, what, getattr(self.found, what) + spent)
        return spent == seconds

    def _end(self, key: str, status: str) -> None:
        assert key not in self.ends, f"{key} ended twice"
        self.ends[key] = status
        self.env.process(self._journal(0.0 if status == MISSING else self.cluster.head))

    def _journal(self, seconds: float) -> Generator[Any, Any, None]:
        with self.head.request() as turn:
            yield turn
            yield self.env.timeout(seconds)
        self.journaled += 1
        if self.journaled == len(self.tasks):
            self.over.succeed()

    def _all_ended(self) -> bool:
        return len(self.ends) == len(self.tasks)

    def _wake(self) -> None:
        """As many idle workers as there are tasks for them; on one machine all, for what is given back may let any fit."""
        count = len(self.idle) if self.cluster.machine else min(len(self.idle), len(self.waiting))
        for number in self.rng.choice(list(self.idle), size=count, replace=False) if count else ():
            self.idle.pop(number).succeed()

    def _note_memory(self) -> None:
        if self.cluster.machine:
            needs = sum(map(self.cluster.machine[1].need, self.under_way))
            self.found.most = max(self.found.most, needs)


def _drawn(rng: np.random.Generator, mean: float) -> float:
    """Exponential; never where the mean is infinite, at once where it is 0."""
    return float(rng.exponential(mean)) if 0 < mean < math.inf else mean
