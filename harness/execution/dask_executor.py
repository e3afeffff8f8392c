"""Units on a dask cluster. Dask distributes them and begins those of lost workers again; the run's folder, which all
machines see, carries jobs and ends (`job`, `ended`), so that nothing is lost with a scheduler."""

from __future__ import annotations

import contextlib
import queue
import secrets
import socket
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.execution.claims import SetApartError
from harness.execution.clusters import CARD, Running, Wanted, running, uninterrupted
from harness.execution.ended import clear_away, ends_by_unit, standing, take_up
from harness.execution.executor import Event, Notice
from harness.execution.job import Job, UnitEnd, jobs_folder, write_job
from harness.execution.plan import Plan, unit_result
from harness.execution.unit_client import UnitProcessDiedError
from harness.execution.unit_server import MOST_DEATHS
from harness.execution.waiting import in_turns
from harness.spec.cluster import ClusterSpec
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import StorageError, make_folder

_SCHEDULER_SECONDS = 600.0
"""How long a scheduler that has answered once may be gone."""
_VISIBLE_SECONDS = 120.0
"""How long it may take until what another machine wrote is seen here."""
_CONNECT_SECONDS = 20.0
_LOOK_SECONDS = 5.0
"""How often, while no unit ends, the cluster is looked at."""
_SILENT_SECONDS = 30.0
"""How long a cluster may be without workers until that is said; then again after twenty times as long."""
_PLUGIN = "harness-unit-processes"


class _SchedulerLostError(Exception):
    """The connection to the scheduler broke, and with it the record of what it had been given."""


@dataclass(frozen=True)
class DaskExecutor:
    """Runs units on the workers of a cluster, a unit at a time on each thread of a worker.

    A unit whose worker was lost is begun again on another one up to `job.retries` times, then it is lost. One that kept
    nothing while two workers were lost may be what ended them: it is set apart until all others have ended, and then begun
    again. Losses before a unit last kept anything do not count.
    One in which two unit processes died, while their workers lived on, has failed and is left. The rest goes on.
    """

    job: Job
    plan: Plan
    cluster: ClusterSpec
    workers: int

    def run(self, units: Mapping[str, Unit]) -> Generator[Event, None, None]:
        """Raises UsageError, IntegrityError or StorageError where no unit can go on."""
        folder = self.job.folder
        left = dict(units)
        for key, found in ends_by_unit(folder).items():  # of an earlier session that did not journal them any more
            if key in left and (end := standing(found)) is not None:
                yield from self._taken_up(left, key, end.name)
        if not left:
            return
        write_job(self.job, self.plan)
        log = make_folder(jobs_folder(folder) / "logs")
        with running(self.cluster, Wanted(self.workers, self.job.limits, log)) as cluster:
            begun: Counter[str] = Counter()
            patience = _CONNECT_SECONDS
            while left:
                try:
                    with _connected(cluster.address, patience) as client:
                        patience = _SCHEDULER_SECONDS
                        yield from self._session(client, cluster, left, begun)
                except _SchedulerLostError:
                    yield Notice(f"the scheduler is gone; waiting {patience / 60:.0f} min for it to come back")

    def _session(self, client: Any, cluster: Running, left: dict[str, Unit], begun: Counter[str]) -> Iterator[Event]:
        """Until all have ended, or the scheduler is lost."""
        batch, apart, watch = _Batch(client, self.job), list[str](), _Watch(cluster, self.job)
        for key in in_turns(left):
            batch.submit(key, left[key])
        yield from watch.look(client)
        for key, future in batch.ended():
            if future is None:
                yield from watch.look(client)
            elif future.status == "finished":
                yield from self._taken_up(left, key, future.result())
            elif future.status != "error":
                raise _SchedulerLostError
            elif isinstance(error := future.exception(), SetApartError):
                apart.append(key)
            elif self._goes_on(error, key, begun):
                batch.submit(key, left[key], in_company=len(left) > 1)
            else:
                reason = f"it was begun {begun[key]} times and never came to an end"
                yield UnitEnd(unit_result(left.pop(key), "lost", reason), 0.0)
            if not batch:
                for each in apart:
                    batch.submit(each, left[each], in_company=False)
                apart.clear()

    def _taken_up(self, left: dict[str, Unit], key: str, name: str) -> Iterator[UnitEnd]:
        yield take_up(self.job.folder, name, _VISIBLE_SECONDS)
        clear_away(self.job.folder, key)  # it is journaled by now
        del left[key]

    def _goes_on(self, error: BaseException | None, key: str, begun: Counter[str]) -> bool:
        """Whether a unit whose task raised is begun again. begun: how often each was, but for those that were given back.
        Raises what the run cannot go on with."""
        from distributed import KilledWorker

        from harness.execution.dask_worker import WorkerStoppingError

        if isinstance(error, WorkerStoppingError):
            return True
        begun[key] += 1
        goes_on = begun[key] <= MOST_DEATHS + (self.job.retries or 0)
        if isinstance(error, KilledWorker | UnitProcessDiedError):
            return goes_on
        if isinstance(error, StorageError) and goes_on:  # one machine's disk may be full, another's not
            return True
        assert error is not None
        raise error


class _Batch:
    """What was submitted over one connection, and has not ended."""

    def __init__(self, client: Any, job: Job) -> None:
        self._client, self._job = client, job
        self._futures: dict[str, tuple[str, Any]] = {}  # task -> unit and future; dask forgets what nobody holds
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def submit(self, key: str, unit: Unit, *, in_company: bool = True) -> None:
        from harness.execution.dask_worker import run_unit

        task = f"unit-{key[:16]}-{secrets.token_hex(4)}"
        needed = {"resources": {CARD: 1}} if self._job.limits.device == "cuda" else {}
        asked = (str(self._job.folder.resolve()), self._job.session, unit.canonical())
        future = self._client.submit(run_unit, *asked, in_company=in_company, key=task, pure=False, **needed)
        self._futures[task] = key, future
        future.add_done_callback(self._ended.put)

    def ended(self) -> Iterator[tuple[str, Any]]:
        """Units with their futures as these end, until all have; no future after some seconds in which none has."""
        while self._futures:
            try:
                future = self._ended.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                yield "", None
            else:
                yield self._futures.pop(future.key)[0], future


class _Watch:
    """Looks whether a cluster does anything at all."""

    def __init__(self, cluster: Running, job: Job) -> None:
        self._cluster, self._job = cluster, job
        self._next, self._between = time.monotonic() + _SILENT_SECONDS, 20 * _SILENT_SECONDS
        self._said = ""

    def look(self, client: Any) -> Iterator[Notice]:
        """Raises UsageError where there are workers, and none has the graphics processor that tasks would wait for."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield from self._say_refused(self._cluster.refused.get_nowait())
        try:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        except (OSError, TimeoutError):  # tasks will tell
            return
        if workers and self._job.limits.device == "cuda" and not any(each["resources"].get(CARD) for each in workers):
            raise UsageError(
                "no worker of the cluster offers a graphics processor; start them with: dask worker --resources "
                f"{CARD}=1"
            )
        now = time.monotonic()
        if workers:
            self._next = now + _SILENT_SECONDS
        elif now >= self._next:
            self._next = now + self._between
            yield Notice(f"no worker is connected; {self._cluster.without_workers}")

    def _say_refused(self, words: str) -> Iterator[Notice]:
        """Once for the same words."""
        if words and words != self._said:
            self._said = words
            yield Notice(f"a job was refused, and is submitted again from time to time: {words}")


@contextlib.contextmanager
def _connected(address: str, patience: float) -> Iterator[Any]:
    """A client, with what ends unit processes on every worker; waits so many seconds for a scheduler that is gone."""
    from harness.execution.dask_worker import UnitProcesses

    client, lost = _client(address, patience), False
    try:
        try:
            client.register_plugin(UnitProcesses(), name=_PLUGIN)
        except (OSError, TimeoutError) as error:
            raise _SchedulerLostError from error
        yield client
    except _SchedulerLostError:
        lost = True  # which would be waited for below
        raise
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            if not lost:
                client.unregister_worker_plugin(_PLUGIN)
        with contextlib.suppress(Exception):
            client.close(timeout=_CONNECT_SECONDS)


def _client(address: str, patience: float) -> Any:
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port

    deadline = time.monotonic() + patience
    while True:
        try:
            if not address.startswith("ucx:"):  # so that the rest is soon done, or refused
                socket.create_connection(get_address_host_port(address), timeout=_CONNECT_SECONDS).close()
            with uninterrupted():
                return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise UsageError(f"no dask scheduler answers at {address}: {error}.") from error
            time.sleep(0.2)
