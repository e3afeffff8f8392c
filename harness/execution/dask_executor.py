"""Units on a dask cluster. Dask distributes them and begins those of lost workers again; the run's folder, which all
machines see, carries jobs and ends (`job`, `ended`), so that nothing is lost with a scheduler."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.execution.claims import SetApartError
from harness.execution.clusters import CARD, Wanted, scheduler_of
from harness.execution.ended import clear_away, ends_by_unit, standing, take_up
from harness.execution.executor import Event
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
_PLUGIN = "harness-unit-processes"


class _SchedulerLostError(Exception):
    """The connection to the scheduler broke, and with it the record of what it had been given."""


@dataclass(frozen=True)
class DaskExecutor:
    """Runs units on the workers of a cluster, a unit at a time on each thread of a worker.

    A unit whose worker was lost is begun again on another one up to `job.retries` times, then it is lost. One with which
    two workers were lost may be what ended them: it is set apart until all others have ended, and then begun again alone.
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
        with scheduler_of(self.cluster, Wanted(self.workers, self.job.limits, log)) as address:
            begun: Counter[str] = Counter()
            patience = 0.0
            while left:
                with contextlib.suppress(_SchedulerLostError), _connected(address, patience) as client:
                    patience = _SCHEDULER_SECONDS
                    yield from self._session(client, left, begun)

    def _session(self, client: Any, left: dict[str, Unit], begun: Counter[str]) -> Iterator[Event]:
        """Until all have ended, or the scheduler is lost."""
        from distributed import as_completed

        if self.job.limits.device == "cuda":
            _refuse_without_cards(client)
        batch, apart = _Batch(client, self.job), list[str]()
        completed = as_completed([batch.submit(key, left[key]) for key in in_turns(left)], loop=client.loop)
        for future in completed:
            key = batch.keys[future.key]
            if future.status == "finished":
                yield from self._taken_up(left, key, future.result())
            elif future.status != "error":
                raise _SchedulerLostError
            elif isinstance(error := future.exception(), SetApartError):
                apart.append(key)
            elif self._goes_on(error, begun[key] + 1):
                begun[key] += 1
                completed.add(batch.submit(key, left[key], in_company=len(left) > 1))
            else:
                reason = f"it was begun {begun[key] + 1} times and never came to an end"
                yield UnitEnd(unit_result(left.pop(key), "lost", reason), 0.0)
            if apart and completed.is_empty():
                completed.add(batch.submit(apart[0], left[apart.pop(0)], in_company=False))

    def _taken_up(self, left: dict[str, Unit], key: str, name: str) -> Iterator[UnitEnd]:
        yield take_up(self.job.folder, name, _VISIBLE_SECONDS)
        clear_away(self.job.folder, key)  # it is journaled by now
        del left[key]

    def _goes_on(self, error: BaseException | None, begun: int) -> bool:
        """Whether a unit whose task raised is begun again. Raises what the run cannot go on with."""
        from distributed import KilledWorker

        from harness.execution.dask_worker import WorkerStoppingError

        if isinstance(error, WorkerStoppingError):
            return True
        most = MOST_DEATHS + (self.job.retries or 0)
        if isinstance(error, KilledWorker | UnitProcessDiedError):
            return begun <= most
        if isinstance(error, StorageError) and begun <= most:  # one machine's disk may be full, another's not
            return True
        assert error is not None
        raise error


@dataclass(frozen=True)
class _Batch:
    """What was submitted over one connection."""

    client: Any
    job: Job
    keys: dict[str, str] = field(default_factory=dict)
    """Task -> unit."""

    def submit(self, key: str, unit: Unit, *, in_company: bool = True) -> Any:
        from harness.execution.dask_worker import run_unit

        task = f"unit-{key[:16]}-{secrets.token_hex(4)}"
        self.keys[task] = key
        needed = {"resources": {CARD: 1}} if self.job.limits.device == "cuda" else {}
        where = str(self.job.folder.resolve())
        asked = (where, self.job.session, unit.canonical())
        return self.client.submit(run_unit, *asked, in_company=in_company, key=task, pure=False, **needed)


@contextlib.contextmanager
def _connected(address: str, patience: float) -> Iterator[Any]:
    """A client, with what ends unit processes on every worker; waits so many seconds for a scheduler that is gone."""
    from harness.execution.dask_worker import UnitProcesses

    client = _client(address, patience)
    try:
        try:
            client.register_plugin(UnitProcesses(), name=_PLUGIN)
        except (OSError, TimeoutError) as error:
            raise _SchedulerLostError from error
        yield client
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.unregister_worker_plugin(_PLUGIN)
        with contextlib.suppress(Exception):
            client.close(timeout=_CONNECT_SECONDS)


def _client(address: str, patience: float) -> Any:
    from distributed import Client

    deadline = time.monotonic() + patience
    while True:
        try:
            return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise UsageError(f"no dask scheduler answers at {address}: {error}.") from error
            time.sleep(1.0)


def _refuse_without_cards(client: Any) -> None:
    """Raises UsageError where there are workers, and none has a graphics processor: tasks would wait for ever."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if workers and not any(each["resources"].get(CARD) for each in workers):
        raise UsageError(
            f"no worker of the cluster offers a graphics processor; start them with: dask worker --resources {CARD}=1"
        )
