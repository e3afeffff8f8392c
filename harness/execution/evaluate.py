"""`harness evaluate` as a function: the eight steps, from a method's name to a sealed run."""

from __future__ import annotations

import math
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.execution.applicability import inapplicable_units, refuse_where_none_applies
from harness.execution.child import STARTS_AN_EVALUATION, ChildProcess, end_abandoned, inside_worker
from harness.execution.executor import Executor, LocalExecutor, RefusingExecutor
from harness.execution.fence import choose
from harness.execution.job import Job
from harness.execution.method_process import Limits, MethodProcess, runs_around
from harness.execution.needs import require_data
from harness.execution.past import earlier
from harness.execution.plan import Plan, PlanRequest, make_plan, open_track
from harness.execution.room import cores, default_workers, room_for
from harness.execution.run_files import SEALED
from harness.execution.run_result import RunResult
from harness.execution.runner import Observer, SilentObserver, discard, execute, forget_unbegun
from harness.methods.client import MethodClient
from harness.methods.conformance import Check
from harness.methods.discovery import FoundMethod, find_method
from harness.spec.errors import UsageError, unknown
from harness.spec.kinds import kind_of, load
from harness.storage import RunLock, RunLockedError, StorageError
from harness.tracks.base import Track

_MOST_GIBIBYTES = 2**20


@dataclass(frozen=True)
class Request:
    """What a user asks for. Only `method`, `benchmark`, `seed`, `device` and `limit` may change a number.

    out: folder for runs. device: auto, cpu or cuda. workers: unit processes (default: as many as
    have cores for their threads, at most four; one per graphics processor). threads: of each. timeout: seconds for each call of the method. memory: GiB by which the method may grow.
    fresh: discard what an earlier run of the same specification left. fence: around the method's process
    (`execution.fence`). allow_read: files and folders that the method may read beside its own folder.
    executor: local, or dask on a `cluster` (local, tcp://…, slurm, lsf, or a file.toml). retries: how often a unit is begun
    again on another worker of a cluster after one was lost with it.
    """

    method: str
    benchmark: str | None = None
    out: Path = Path("runs")
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    timeout: float = 300.0
    memory: float = 8.0
    fresh: bool = False
    fence: str = "auto"
    allow_read: tuple[Path, ...] = ()
    threads: int = 1
    executor: str = "local"
    cluster: str | None = None
    retries: int = 2


@dataclass(frozen=True)
class Prepared:
    """After steps 1, 2 and 4: everything is known, nothing has run."""

    method: FoundMethod
    protocol: LoadedBenchmark
    track: Track
    plan: Plan
    limits: Limits
    workers: int
    shuffle: int = 0
    """In which order things are asked (`Track`)."""


@dataclass(frozen=True)
class Listener:
    """Who wants to know how the run gets on."""

    checked: Callable[[Check], None] = lambda check: None
    observer: Observer = field(default_factory=SilentObserver)


def evaluate(request: Request, listener: Listener | None = None) -> RunResult:
    """Check, run, score and seal. Raises UsageError, IntegrityError, StorageError, RunLockedError.

    Units that fail are part of the result: see `RunResult.failed`.
    """
    prepared = prepare(request)
    executor = executor_for(request, prepared)
    return evaluate_prepared(prepared, listener or Listener(), fresh=request.fresh, executor=executor)


def executor_for(request: Request, prepared: Prepared, ahead: ChildProcess | None = None) -> Executor:
    """What runs the units as it was asked for. This machine's own processes begin to start, the first one is `ahead` where
    that was started already; who gets them closes them."""
    if request.executor == "local":
        return local_executor(prepared).start(ahead)
    from harness.execution.clusters import named_cluster, refuse_where_none_can_run
    from harness.execution.dask_executor import DaskExecutor

    cluster = named_cluster(request.cluster or "local")
    refuse_where_none_can_run(cluster, prepared.plan.folder)
    job = job_of(prepared, retries=request.retries, detached=True)
    return DaskExecutor(job, prepared.plan, cluster, cluster.workers or prepared.workers)


def local_executor(prepared: Prepared) -> LocalExecutor:
    """Processes on this machine."""
    plan = prepared.plan
    _refuse_ways_out(plan.folder)
    room = room_for(prepared.track, plan.units, prepared.limits.device, earlier(plan))
    if (plan.folder / SEALED).is_file():  # hardly anything is left
        room = replace(room, seconds={})
    return LocalExecutor(job_of(prepared), prepared.workers, room)


def evaluate_prepared(
    prepared: Prepared, listener: Listener, *, fresh: bool = False, executor: Executor | None = None
) -> RunResult:
    """The steps after planning: check the method, run what is left, by default on this machine, seal.

    A method that fails the check is not run: all its units end with the check's status and reason. Raises UsageError
    for one that passes and cannot be applied in any unit.
    """
    executor, checking = executor or local_executor(prepared), None
    with ExitStack() as ending:
        ending.enter_context(nothing_left_if_refused(prepared.plan.folder))
        if isinstance(executor, LocalExecutor):
            ending.callback(executor.close)
            checking = executor.check
        if prepared.plan.folder.is_dir():
            with RunLock(prepared.plan.folder):  # who else writes it is told before the check, too
                pass
        failed = admit(prepared, listener, fresh=fresh, checking=checking)
        if failed is not None:
            executor = RefusingExecutor(failed.status, failed.problem)
        return run(prepared, listener.observer, executor)


def admit(
    prepared: Prepared,
    listener: Listener,
    *,
    fresh: bool = False,
    checking: Callable[[], Iterable[Check]] | None = None,
) -> Check | None:
    """All that comes before units are run, wherever that is; returns the check that the method fails, if any.

    checking: checks the method, by default in a worker of its own. Raises UsageError for a method that passes and cannot be
    applied in any unit, and where a package is missing.
    """
    _refuse_ways_out(prepared.plan.folder)
    prepared.track.require_packages()
    prepared.track.check_own_files()
    if fresh:
        discard(prepared.plan.folder)
    own = partial(check_method, prepared.method, prepared.limits, runs_around(prepared.plan.folder, prepared.method))
    for check in (checking or own)():
        listener.checked(check)
        if not check.passed:
            _refuse_missing_package(prepared.method, check)
            return check
    refuse_where_none_applies(prepared.track, prepared.plan, inapplicable(prepared))
    return None


def _refuse_missing_package(method: FoundMethod, check: Check) -> None:
    """Raise UsageError for a check that failed for a missing package: no unit would end otherwise."""
    kind, _, sentence = check.problem.partition(": ")
    if kind in ("ImportError", "ModuleNotFoundError"):
        raise UsageError(f"{method.spec.name} cannot run here: {sentence.rstrip('.')}. No unit was run.")


@contextmanager
def nothing_left_if_refused(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that is refused in the block before any unit has ended, where the block has made it."""
    there = folder.exists()
    try:
        yield
    except UsageError:
        if not there and folder.is_dir():
            with suppress(RunLockedError, StorageError):
                forget_unbegun(folder)
        raise


def prepare(request: Request, *, elsewhere: bool = False) -> Prepared:
    """Specify, identify and plan. elsewhere: units will run on machines that a batch system chooses, not on this one.
    Raises UsageError for anything that cannot be done as asked."""
    _refuse_inside_worker()
    named = find_protocol(request.benchmark) if request.benchmark else None
    method = find_method(request.method, named.benchmark.task if named else None)
    protocol = named or find_protocol(kind_of(method.spec.task).default_benchmark)
    protocol.refuse_withdrawn()
    device = resolve_device(request.device)
    _positive("limit", request.limit)
    _positive("workers", request.workers)
    _positive("threads", request.threads)
    local = _runs_locally(request)
    _refuse_what_no_machine_has(request, None if elsewhere or not local else cores())
    _finite("timeout", request.timeout)
    limits = Limits(
        *(request.timeout, request.memory, request.threads),
        device=device,
        fence=choose(request.fence),
        readable=readable(request.allow_read),
    )
    track = open_track(protocol, method.spec, device)
    plan = make_plan(protocol, track, method, PlanRequest(request.out, request.seed, device, request.limit))
    workers = request.workers or default_workers(request.threads, device)
    return Prepared(method, protocol, track, plan, limits, workers)


def inapplicable(prepared: Prepared, *, rehearse: bool = True) -> dict[str, str]:
    """Id of a unit -> why the method cannot be applied there. With `rehearse` it is tried in a worker, if need be."""
    _refuse_inside_worker()

    def start() -> AbstractContextManager[MethodClient]:
        worker = MethodProcess(prepared.method, prepared.limits)
        worker.hide(runs_around(prepared.plan.folder, prepared.method))
        return worker

    return inapplicable_units(prepared.track, prepared.plan, start if rehearse else None)


def can_run(request: Request) -> bool:
    """Whether a run could begin here: its data and packages are there, and the method does not declare that it applies to
    no unit. Nothing is run."""
    try:
        prepared = prepare(request)
        prepared.track.require_packages()
        require_data(prepared.protocol)
    except UsageError:
        return False
    return len(inapplicable(prepared, rehearse=False)) < len(prepared.plan.units)


def run(prepared: Prepared, observer: Observer | None = None, executor: Executor | None = None) -> RunResult:
    """Execute a prepared run, by default on this machine, and seal it."""
    plan = prepared.plan
    _make(plan.folder)
    _refuse_ways_out(plan.folder)
    end_abandoned()
    executor = executor or local_executor(prepared)
    return execute(plan, prepared.track, executor, observer or SilentObserver(), prepared.limits)


def job_of(prepared: Prepared, *, retries: int | None = None, detached: bool = False) -> Job:
    """A prepared run as those see it who run its units; with a session of its own."""
    where = (prepared.protocol.path, prepared.method, prepared.plan.folder, prepared.limits, prepared.shuffle)
    return Job(*where, retries=retries, session=secrets.token_hex(8), detached=detached)


def check_method(
    method: FoundMethod,
    limits: Limits,
    hidden: tuple[str, ...] = (),
    printed: Callable[[str], object] = lambda text: None,
) -> tuple[Check, ...]:
    """The conformance suite in a worker of its own. Reference rows that read the outcomes have none to pass.

    hidden: folders that the method must not read, beside those that no method may. printed: takes what the method has
    printed, at the end.
    """
    _refuse_inside_worker()
    if method.spec.oracle:
        return ()
    with MethodProcess(method, limits) as worker, worker.checking():
        worker.hide(hidden)
        checks = tuple(load(kind_of(method.spec.task).check)(worker))
    printed(worker.printed)
    return checks


def _refuse_inside_worker() -> None:
    """The worker must not begin anew."""
    if inside_worker():
        raise UsageError(STARTS_AN_EVALUATION)


def resolve_device(device: str) -> str:
    """`auto` becomes cuda where there is one. torch is asked only where a driver is present."""
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device} is not known; use auto, cpu or cuda.")
    if device == "cpu" or (device == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UsageError("--device cuda was asked for, but torch finds no usable GPU; use --device cpu.")
    return "cpu"


def readable(paths: Sequence[Path]) -> tuple[str, ...]:
    """Where the files and folders lie that a method is allowed to read. Raises UsageError for one that is not there."""
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"--allow-read {missing}: there is no such file or folder.")
    return tuple(str(path.resolve()) for path in paths)


def _runs_locally(request: Request) -> bool:
    """Whether all workers will be on this machine. Raises UsageError for an executor or a cluster that is not known,
    before anything is planned."""
    local = True
    if request.executor not in ("local", "dask"):
        raise unknown("executor", request.executor, ("local", "dask"))
    if request.executor == "dask":
        from harness.execution.clusters import named_cluster

        local = named_cluster(request.cluster or "local").kind == "local"
    elif request.cluster is not None:
        raise UsageError(f"--cluster {request.cluster} goes with --executor dask.")
    if not isinstance(request.retries, int) or request.retries < 0:
        raise UsageError(f"--retries must be a whole number of at least 0, it is {request.retries!r}.")
    return local


def _refuse_what_no_machine_has(request: Request, cores: int | None) -> None:
    """cores: of the machine that units run on, None where a batch system chooses it."""
    _finite("memory", request.memory)
    if request.memory > _MOST_GIBIBYTES:
        raise UsageError(f"--memory {request.memory:g} is more GiB than any machine has.")
    if cores is not None and request.threads > cores:
        raise UsageError(f"--threads {request.threads} is more than this machine has cores to give: {cores}.")


def _positive(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise UsageError(f"--{name} must be a whole number of at least 1, it is {value!r}.")


def _finite(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UsageError(f"--{name} must be a positive number, it is {value:g}.")


def _refuse_ways_out(folder: Path) -> None:
    """Raises UsageError for a run's folder that is a link, or holds one, a pipe or a device: what a run writes would go
    elsewhere. The folder of all runs may be a link: that is what its user wants."""
    inside = (Path(parent, name) for parent, *names in os.walk(folder) for name in chain(*names))
    for path in (folder, *inside):
        mode = path.lstat().st_mode if os.path.lexists(path) else stat.S_IFDIR
        if not stat.S_ISDIR(mode) and not (stat.S_ISREG(mode) and path != folder):
            raise UsageError(
                f"{path} is a link, or something else that leads out of the run's own folder; remove it, or choose "
                "another folder with --out."
            )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the run folder {folder} cannot be made: {error.strerror}; choose another with --out."
        ) from error
