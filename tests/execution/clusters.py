"""Dask clusters of processes on this machine, whose workers and scheduler tests may kill."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from harness.execution.processes import _descendants
from harness.storage import Journal

from .support import CHECKOUT, PATIENCE

_BEGIN = "import sys; from distributed.cli.{module} import main; sys.exit(main())"


class Cluster:
    """A scheduler and workers, each a process of its own, started again when they have ended.

    host: address of the scheduler. nanny: whether each worker has one, as jobs of a batch system have. elsewhere: number of a worker -> what its command begins with. settings: of dask, as
    variables of the environment.
    """

    def __init__(self, folder, workers, host="127.0.0.1", elsewhere=None, settings=None, nanny=False):
        self.folder, self._workers, self._host, self._nanny = folder, workers, host, nanny
        self._elsewhere, self._settings = elsewhere or {}, settings or {}
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind((host, 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://{host}:{self.port}"
        self.restarts = 0
        self.kills, self._over, self._lock = 0, threading.Event(), threading.Lock()

    def __enter__(self):
        self.start_scheduler()
        self.processes = [self._start_worker(number) for number in range(self._workers)]
        self._keeper = threading.Thread(target=self._keep_up, daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._keeper.join(PATIENCE)
        for process in (*self.processes, self.scheduler):
            process.kill()
            process.wait()

    def start_scheduler(self):
        self.scheduler = self._start("dask_scheduler", "--host", self._host, "--port", str(self.port), "--no-dashboard")

    def add_worker(self):
        with self._lock:
            self.processes.append(self._start_worker(len(self.processes)))

    def end_a_job(self):
        """As a batch system does: SIGTERM to every process of it. A new one comes in its place."""
        with self._lock:
            job = self.processes[0].pid
            for number in (*_descendants(job), job):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGTERM)

    def kill_scheduler(self):
        self.scheduler.kill()
        self.scheduler.wait()

    def kill_a_worker(self, rng):
        with self._lock:
            rng.choice(self.processes).kill()
            self.kills += 1

    def kill_now_and_then(self, seconds, seed):
        """SIGKILL for a random worker every few seconds, until the block ends."""

        @contextlib.contextmanager
        def killing():
            rng, over = random.Random(seed), threading.Event()

            def kill():
                while not over.wait(rng.uniform(*seconds)):
                    self.kill_a_worker(rng)

            thread = threading.Thread(target=kill, daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join(PATIENCE)

        return killing()

    def _keep_up(self):
        """As a batch system or a service manager does: a worker that has ended is started again."""
        while not self._over.wait(0.2):
            with self._lock:
                for number, process in enumerate(self.processes):
                    if process.poll() is not None:
                        self.restarts += 1
                        self.processes[number] = self._start_worker(number)

    def _start_worker(self, number):
        nanny = "--nanny" if self._nanny else "--no-nanny"
        options = ("--nthreads", "1", nanny, "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60")
        return self._start(
            "dask_worker",
            self.address,
            *options,
            "--local-directory",
            str(self.folder),
            within=self._elsewhere.get(number, ()),
        )

    def _start(self, module, *arguments, within=()):
        log = (self.folder / f"{module}.log").open("ab")
        return subprocess.Popen(
            [*within, sys.executable, "-c", _BEGIN.format(module=module), *arguments],
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            env={**os.environ, **self._settings, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        )


def sums(folder):
    """What the journal says of each unit at last, but for times, memory and workers: id -> result."""
    return {each["unit"]["unit"]: each["unit"] for each in Journal.read(folder / "journal.log") if "unit" in each}
