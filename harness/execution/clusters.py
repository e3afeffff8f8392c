"""Dask clusters: a scheduler's address while a block runs, whoever provides it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.data.toml import read_toml
from harness.execution.method_process import Limits
from harness.execution.room import cards
from harness.spec.cluster import ClusterSpec
from harness.spec.errors import UsageError, first_problem, unknown

CARD = "GPU"
"""The resource of a dask worker that stands for a graphics processor."""
_WITHOUT_END = 1 << 30
"""Of how many lost workers dask gives a task up: never, because claims count them (`claims`)."""
_ADDRESSES = ("tcp://", "tls://", "ucx://")
_NAMES = ("local", "slurm", "lsf")
_BESIDE_THE_METHOD = 4.0  # GiB of a job for the unit process, beside those by which the method may grow


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
        return ClusterSpec.model_validate(plain)
    except ValidationError as error:
        raise UsageError(f"{where} describes no cluster: {first_problem(error)}") from error


@dataclass(frozen=True)
class Wanted:
    """workers: how many; each runs one unit at a time. log: folder for what jobs print."""

    workers: int
    limits: Limits
    log: Path


@contextmanager
def scheduler_of(cluster: ClusterSpec, wanted: Wanted) -> Iterator[str]:
    """The address of the cluster's scheduler; a cluster that was started for this ends with the block."""
    if cluster.kind == "scheduler":
        assert cluster.address is not None
        yield cluster.address
        return
    made = _local(wanted) if cluster.kind == "local" else _submitted(cluster, wanted)
    with made:
        yield str(made.scheduler_address)


def _local(wanted: Wanted) -> Any:
    from distributed import Nanny, Scheduler, SpecCluster

    own = cards() if wanted.limits.device == "cuda" else ()

    def options(number: int) -> dict[str, Any]:
        card = {"env": {"CUDA_VISIBLE_DEVICES": own[number % len(own)]}, "resources": {CARD: 1}} if own else {}
        return {"nthreads": 1, "memory_limit": 0, "dashboard": False, "silence_logs": 50, **card}

    where = {"host": "127.0.0.1", "port": 0, "dashboard": False, "allowed_failures": _WITHOUT_END}
    workers = {number: {"cls": Nanny, "options": options(number)} for number in range(wanted.workers)}
    return SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": where}, silence_logs=50)


def _submitted(cluster: ClusterSpec, wanted: Wanted) -> Any:
    from dask_jobqueue.lsf import LSFCluster
    from dask_jobqueue.slurm import SLURMCluster

    kind = {"slurm": SLURMCluster, "lsf": LSFCluster}[cluster.kind]
    count = cluster.workers or wanted.workers
    try:
        made = kind(**(job_options(cluster, wanted) | cluster.options))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{kind.__name__} refuses the options of the cluster: {error}") from error
    made.adapt(minimum_jobs=count, maximum_jobs=count)  # a job that ends is replaced
    return made


def job_options(cluster: ClusterSpec, wanted: Wanted) -> dict[str, Any]:
    """What a job of the batch system asks for where the user says nothing else: one unit at a time."""
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
        "job_extra_directives": asked,
        "scheduler_options": {"dashboard": False, "allowed_failures": _WITHOUT_END},
    }
