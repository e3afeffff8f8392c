"""A disk that refuses a write stops the run with one sentence; what was done is not done again."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from harness.execution import runner
from harness.execution.evaluate import prepare, run
from harness.storage import Journal, StorageError

from .support import HONEST, request, stored, untimed

STUDIES = dict.fromkeys(("first", "second", "third"), HONEST)
FULL = os.strerror(errno.ENOSPC)


class FillsDisk:
    """From the moment that is named, `system call` fails as on a full disk."""

    def __init__(self, monkeypatch, call, moment, units=1):
        self._monkeypatch, self._call, self._moment, self._units = monkeypatch, call, moment, units
        self.ended = []

    def started(self, done, total):
        self.done = done

    def finished(self, end):
        self.ended.append(end.result.unit)
        if self._moment == "unit" and len(self.ended) == self._units:
            self._fill()

    def sealing(self):
        if self._moment == "seal":
            self._fill()

    def _fill(self):
        def fail(*_arguments):
            raise OSError(errno.ENOSPC, FULL)

        self._monkeypatch.setattr(os, self._call, fail)


@pytest.mark.parametrize(("call", "moment", "kept"), [("write", "unit", 1), ("fsync", "seal", 3)])
def test_a_full_disk_in_the_command_itself(tmp_path, monkeypatch, call, moment, kept):
    """The journal is written with `write`, the sealed run ends with `fsync`."""
    prepared = prepare(request(tmp_path / "full", STUDIES))
    with monkeypatch.context() as patch, pytest.raises(StorageError, match=FULL) as raised:
        run(prepared, FillsDisk(patch, call, moment))
    assert str(raised.value).count("\n") == 0
    assert not (prepared.plan.folder / "run.json").exists()
    assert journaled(prepared.plan.folder) == kept
    assert_completed_as_if_nothing_had_been(tmp_path, prepared, kept)


@pytest.mark.parametrize(("largest", "kept"), [(200, 0), (1500, None)])
def test_a_file_that_may_not_grow_in_the_unit_process_or_the_journal(tmp_path, largest, kept):
    """The limit is inherited: at 200 bytes answers cannot be stored, at 1500 the journal is soon too long."""
    prepared = prepare(request(tmp_path / "full", STUDIES))
    method, benchmark = tmp_path / "full" / "zoo.py", tmp_path / "full" / "benchmark" / "benchmark.toml"
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from harness.execution.evaluate import Request, prepare, run\n"
        "from harness.execution.runner import METHOD\n"
        f"prepared = prepare(Request({str(method)!r}, {str(benchmark)!r}, out=Path({str(tmp_path / 'full' / 'runs')!r}),"
        " workers=1, device='cpu'))\n"
        "class Limit:\n"
        "    def started(self, done, total):\n"
        f"        resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, resource.RLIM_INFINITY))\n"
        "    def finished(self, end): ...\n"
        "    def sealing(self): ...\n"
        "run(prepared, Limit())\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True)
    assert "StorageError" in done.stderr.splitlines()[-1], done.stderr
    found = journaled(prepared.plan.folder)
    assert found == kept if kept is not None else 1 <= found <= 2
    assert not any(path.name.startswith(".harness") for path in (prepared.plan.folder / "outputs").iterdir())
    assert_completed_as_if_nothing_had_been(tmp_path, prepared, found)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    prepared = prepare(request(tmp_path, STUDIES))
    prepared.plan.folder.mkdir(parents=True)
    (prepared.plan.folder / "outputs").write_text("in the way")
    with pytest.raises(StorageError, match=r"^Could not make the folder .*outputs: File exists\.$"):
        run(prepared)


def test_what_killed_writers_left_is_cleared(tmp_path):
    prepared = prepare(request(tmp_path, STUDIES))
    leftovers = [prepared.plan.folder / name / f".harness-{'0' * 16}.tmp" for name in (".", "outputs")]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(prepared)
    assert not any(path.exists() for path in leftovers)


def journaled(folder):
    with Journal.open(folder / runner.JOURNAL) as journal:
        return sum("unit" in record for record in journal)


def assert_completed_as_if_nothing_had_been(tmp_path, prepared, kept):
    """Resuming takes up the units that were kept, and ends like a run that was never stopped."""

    class Count:
        def started(self, done, total):
            self.done, self.total = done, total

        def finished(self, end): ...
        def sealing(self): ...

    count = Count()
    folder = run(prepared, count).folder
    assert (count.done, count.total) == (kept, len(STUDIES))
    whole = run(prepare(request(tmp_path / "whole", STUDIES))).folder
    resumed, reference = untimed(folder, whole)
    assert resumed == reference
    assert stored(folder) == stored(whole)
