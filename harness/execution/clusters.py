"""Dask clusters: a scheduler's address while a block runs, whoever provides it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pydantic import ValidationError

from harness.data.toml import read_toml
from harness.execution.child import one_line
from harness.execution.job import refuse_odd_path
from harness.execution.method_process import Limits
from harness.execution.room import cards
from harness.spec.cluster import ClusterSpec
from harness.spec.errors import UsageError, first_problem, unknown

CARD = "GPU"
"""The resource of a dask worker that stands for a graphics processor."""
_WITHOUT_END = 1 << 30
"""Of how many lost workers dask gives a task up: never, because claims count them (`claims`)."""
_SCHEDULER = {"dashboard": False, "dashboard_address": ":0", "allowed_failures": _WITHOUT_END}
_ADDRESSES = ("tcp://", "tls://", "ucx://")
_BATCH_SYSTEMS = ("slurm", "lsf")
_NAMES = ("local", *_BATCH_SYSTEMS)
_BESIDE_THE_METHOD = 4.0  # GiB of a job for the unit process, beside those by which the method may grow
_SUBMIT_SECONDS = 120.0
"""How long a batch system may take to answer."""
_BETWEEN_JOBS = "30s"
"""How often jobs that have ended, or were refused, are submitted again."""
_PRELOAD = "harness.execution.dask_worker"
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application")


def named_cluster(name: str) -> ClusterSpec:
    """What `--cluster` means. Raises UsageError for anything that is none, and where dask is not installed."""
    missing = [each for each in ("distributed", "dask_jobqueue") if find_spec(each) is None]
    if missing:
        raise UsageError("--executor dask needs dask; install it with: pip install 'reliabench[cluster]'")
    if name in _NAMES:
        return ClusterSpec.model_validate({"kind": name})
    if name.startswith(_ADDRESSES):
        return _described("--cluster", {"kind": "scheduler", "address": name})
    if not name.endswith(".toml"):
        raise unknown("cluster", name, _NAMES, "A scheduler is named by its address, tcp://…, others by a file.toml.")
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"--cluster {name}: there is no such file.")
    return _described(name, read_toml(path))


def _described(where: str, plain: Mapping[str, Any]) -> ClusterSpec:
    try:
        described = ClusterSpec.model_validate(plain)
    except ValidationError as error:
        raise UsageError(f"{where} describes no cluster: {first_problem(error)}") from error
    if described.options:
        _refuse_unknown_options(described)
    return described


def _refuse_unknown_options(cluster: ClusterSpec) -> None:
    """dask_jobqueue would refuse them with a dump of all that it was given."""
    kind = _cluster_class(cluster)
    takers = (kind, *kind.__mro__, kind.job_cls, *kind.job_cls.__mro__)
    known = {name for each in takers if "__init__" in vars(each) for name in inspect.signature(each).parameters}
    for name in cluster.options:
        if name not in known:
            raise unknown("option of a cluster", name, known - {"args", "kwargs", "job_kwargs", "self"})


@dataclass(frozen=True)
class Wanted:
    """workers: how many; each runs one unit at a time. log: folder for what jobs print."""

    workers: int
    limits: Limits
    log: Path


@dataclass(frozen=True)
class Running:
    """A cluster. address: of its scheduler. without_workers: what may be wrong where no worker comes. refused: takes what the
    batch system says to each job that it does not take."""

    address: str
    without_workers: str
    refused: SimpleQueue[str] = field(default_factory=SimpleQueue)


@contextmanager
def running(cluster: ClusterSpec, wanted: Wanted) -> Iterator[Running]:
    """A cluster that was started for this ends with the block. Raises UsageError where the batch system takes no job."""
    with _logged(wanted.log / "dask.log"):
        if cluster.kind == "scheduler":
            assert cluster.address is not None
            yield Running(cluster.address, f"start some with: dask worker {cluster.address}")
        elif cluster.kind == "local":
            with _begun(lambda: _local(wanted)) as made:
                yield Running(str(made.scheduler_address), f"their processes do not start; see {wanted.log}")
        else:
            answers = SimpleQueue[str]()
            with _begun(lambda: _submitted(cluster, wanted, answers)) as made:
                _await_jobs(cluster, cluster.workers or wanted.workers, answers)
                yield Running(
                    str(made.scheduler_address),
                    f"their jobs wait in the queue of {cluster.kind}, or end at once; what they print is in {wanted.log}",
                    answers,
                )


@contextmanager
def _begun(make: Callable[[], Any]) -> Iterator[Any]:
    """A cluster of dask, begun whole and ended with the block."""
    with ExitStack() as ending:
        with uninterrupted():
            made = ending.enter_context(make())
        yield made


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt waits for the end of the block: what dask has begun by half takes a minute to end, and says so at
    length."""
    if threading.current_thread() is not threading.main_thread():  # where none arrives
        yield
        return
    came: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What dask says of itself goes into a file: tracebacks tell no user what to do."""
    import distributed  # noqa: F401  (sets the handlers that are replaced here)

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [each.handlers for each in loggers]
    file = logging.FileHandler(path, delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    for each in loggers:
        each.handlers = [file]
    try:
        yield
    finally:
        for each, handlers in zip(loggers, before, strict=True):
            each.handlers = handlers
        file.close()


def _local(wanted: Wanted) -> Any:
    from distributed import Nanny, Scheduler, SpecCluster

    own = cards() if wanted.limits.device == "cuda" else ()

    def options(number: int) -> dict[str, Any]:
        card = {"env": {"CUDA_VISIBLE_DEVICES": own[number % len(own)]}, "resources": {CARD: 1}} if own else {}
        return {"nthreads": 1, "memory_limit": 0, "dashboard": False, "silence_logs": 50, "preload": [_PRELOAD], **card}

    where = {"host": "127.0.0.1", "port": 0, **_SCHEDULER}
    workers = {number: {"cls": Nanny, "options": options(number)} for number in range(wanted.workers)}
    return SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": where}, silence_logs=False)


def _cluster_class(cluster: ClusterSpec) -> Any:
    on_interrupt = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.lsf import LSFCluster
    from dask_jobqueue.slurm import SLURMCluster

    if signal.getsignal(signal.SIGINT) is not on_interrupt:  # the import has it end the process as if all were done
        signal.signal(signal.SIGINT, on_interrupt)
    return {"slurm": SLURMCluster, "lsf": LSFCluster}[cluster.kind]


def refuse_where_none_can_run(cluster: ClusterSpec, run: Path) -> None:
    """Raises UsageError where jobs cannot be submitted, or not for a run in this folder."""
    if cluster.kind not in _BATCH_SYSTEMS:
        return
    refuse_odd_path(run)
    command = _cluster_class(cluster).job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise UsageError(f"there is no {command} here; run this where jobs of {cluster.kind} are submitted.")


def _submitted(cluster: ClusterSpec, wanted: Wanted, answers: SimpleQueue[str]) -> Any:
    """answers: takes what the batch system says to each job: nothing to one that it takes."""
    from distributed import Status

    kind = _cluster_class(cluster)
    job: Any = kind.job_cls

    class Job(job):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await asyncio.wait_for(super().start(), _SUBMIT_SECONDS)
                answers.put("")
            except (RuntimeError, OSError, ValueError, asyncio.TimeoutError) as error:
                # dask would log a traceback and count on the job; a name less in the specification has it submit another.
                answers.put(_words(error))
                self.status = Status.running  # which dask asserts of what was started, as it asserts the end below
                made.worker_spec.pop(self.name, None)

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed

    count = cluster.workers or wanted.workers
    options = job_options(cluster, wanted) | {"silence_logs": False, "job_cls": Job}
    try:
        made = kind(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{kind.__name__} refuses the options of the cluster: {error}") from error
    made.scale(jobs=count)
    made.adapt(minimum_jobs=count, maximum_jobs=count, interval=_BETWEEN_JOBS)  # a job that ends is replaced
    return made


def _prologue(cluster: ClusterSpec) -> list[str]:
    """What a job's script does first: what the user, or the configuration of dask, says, and outlive SIGTERM. Where the
    shell ends, the batch system kills what it runs before that has given its unit back."""
    import dask

    configured = dask.config.get(f"jobqueue.{cluster.kind}.job-script-prologue", None) or []
    return ["trap : TERM", *cluster.options.get("job_script_prologue", configured)]


def _await_jobs(cluster: ClusterSpec, count: int, answers: SimpleQueue[str]) -> None:
    """Until the batch system has taken a job. Raises UsageError where it takes none of so many."""
    refused = []
    while words := answers.get():
        refused.append(words)
        if len(refused) == count:
            raise UsageError(f"{cluster.kind} takes no job: {words}")
    for words in refused:
        answers.put(words)  # to be told while others run


def _words(error: Exception) -> str:
    """What a command of a batch system said, without what dask_jobqueue says around it."""
    if isinstance(error, asyncio.TimeoutError):
        return f"it has not answered for {_SUBMIT_SECONDS:.0f} s"
    parts = re.search(r"Exit code: (\d+)\s*Command:\s*(\w+).*stdout:(.*)stderr:(.*)", str(error), re.DOTALL)
    if parts is None:
        return one_line(str(error))
    code, command, out, err = parts.groups()
    # dask_jobqueue throws away what bsub says
    return one_line(err) or one_line(out) or f"{command} ended with exit code {code}; submit any job by hand to see why"


def job_options(cluster: ClusterSpec, wanted: Wanted) -> dict[str, Any]:
    """What a job of the batch system asks for: one unit at a time. What the user says goes before."""
    card = wanted.limits.device == "cuda"
    resources = ["--resources", f"{CARD}=1"] if card else []
    asked = {"slurm": ["--gres=gpu:1"], "lsf": ['-gpu "num=1"']}[cluster.kind] if card else []
    return {
        "cores": wanted.limits.threads,
        "processes": 1,
        "memory": f"{math.ceil(wanted.limits.gibibytes + _BESIDE_THE_METHOD)} GiB",
        "job_name": "harness",
        "python": sys.executable,
        "log_directory": str(wanted.log),
        "worker_extra_args": ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", *resources],
        "job_extra_directives": asked or None,  # then what dask's configuration says
        "scheduler_options": dict(_SCHEDULER),
        **cluster.options,
        "job_script_prologue": _prologue(cluster),
    }
