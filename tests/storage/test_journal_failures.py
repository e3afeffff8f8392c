"""The journal loses nothing acknowledged, whatever fails."""

import errno
import os
import random
import re
import resource
import subprocess
import sys
import time

import pytest

from harness.storage import Journal, StorageError

from .support import RECORDS, failing, reopened


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_refused_append_leaves_the_journal_as_it_was(path, sealed, monkeypatch, call, code):
    with Journal.open(path) as journal:
        real = os.fsync
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing(code))
            if call == "fsync":  # fails once; the roll-back syncs again
                calls = iter([failing(code), real, real])
                patch.setattr(os, call, lambda fd: next(calls)(fd))
            with pytest.raises(StorageError) as raised:
                journal.append({"never": 1})
        assert str(raised.value) == (
            f"Could not append to the journal {path}: {os.strerror(code)}; nothing was changed."
        )
        assert path.read_bytes() == sealed
        journal.verify()
        journal.append({"after": 1})
        assert list(journal) == [*RECORDS, {"after": 1}]
    assert reopened(path) == [*RECORDS, {"after": 1}]


def test_a_line_the_kernel_cuts_short_is_removed(path, sealed):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal.open(path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(sealed) + 40, hard))
        try:
            with pytest.raises(StorageError, match=r"only 40 of \d+ bytes could be written; nothing was changed"):
                journal.append({"long": "x" * 100})
            journal.append({})  # short enough
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert reopened(path) == [*RECORDS, {}]


def test_an_interrupt_in_an_append_leaves_the_journal_as_it_was(path, sealed, monkeypatch):
    def interrupt(_descriptor):
        monkeypatch.undo()
        raise KeyboardInterrupt

    with Journal.open(path) as journal:
        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.append({"never": 1})
        assert tuple(journal) == tuple(RECORDS)
        assert path.read_bytes() == sealed
        journal.append({"after": 1})


class InterruptedAtTheEnd(Journal):
    """Interrupted at the very last moment: the line is on disk, but `append` has not returned."""

    armed = False

    def __setattr__(self, name, value):
        if name == "_content" and self.armed:
            self.armed = False
            raise KeyboardInterrupt
        super().__setattr__(name, value)


def test_an_interrupt_before_the_acknowledgement_takes_the_record_back(path, sealed):
    with InterruptedAtTheEnd.open(path) as journal:
        journal.armed = True
        with pytest.raises(KeyboardInterrupt):
            journal.append({"never": 1})
        assert tuple(journal) == tuple(RECORDS)
        assert path.read_bytes() == sealed
        journal.append({"after": 1})
    assert reopened(path) == [*RECORDS, {"after": 1}]


def test_a_failed_roll_back_closes_the_journal_and_opening_repairs_it(path, sealed, monkeypatch):
    with Journal.open(path) as journal:
        with monkeypatch.context() as patch:
            real = os.write
            patch.setattr(os, "write", lambda fd, data: real(fd, data[:30]))
            patch.setattr(os, "ftruncate", failing(errno.EIO))
            with pytest.raises(StorageError, match="acknowledged records are safe, open it again"):
                journal.append({"never": "written"})
        with pytest.raises(ValueError, match="closed"):
            journal.append({})
    assert len(path.read_bytes()) == len(sealed) + 30
    with Journal.open(path) as journal:
        assert (list(journal), journal.torn_bytes) == (RECORDS, 30)


@pytest.mark.parametrize("call", ["open", "fsync", "ftruncate"])
def test_a_journal_that_cannot_be_opened_or_repaired_is_a_storage_error(path, sealed, monkeypatch, call):
    path.write_bytes(sealed[:-1])
    with path.open("rb") as before:
        free = before.fileno()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(errno.EROFS))
        with pytest.raises(StorageError, match=f"Could not open the journal {re.escape(str(path))}: Read-only"):
            Journal.open(path)
    with path.open("rb") as after:
        assert after.fileno() == free  # no descriptor was leaked
    assert reopened(path) == RECORDS[:-1]


WRITER = """
import sys
from harness.storage import Journal
with Journal.open(sys.argv[1]) as journal:
    number = sum(1 for _ in journal)
    while True:
        journal.append({"number": number, "text": "x" * (number % 700)})
        print(number, flush=True)
        number += 1
"""


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(path):
    random.seed(0)
    known = 0
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            acknowledged = writer.stdout.readline()
            time.sleep(random.uniform(0, 0.03))
            writer.kill()
            acknowledged += writer.stdout.read()
        last = int(acknowledged[: acknowledged.rindex(b"\n")].split()[-1])
        numbers = [record["number"] for record in reopened(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > last >= known
        known = last


def test_a_killed_opener_leaves_the_journal_valid(path, sealed):
    """Repair is one truncation: doing it twice, or half, is the same as doing it once."""
    path.write_bytes(sealed[:-4])
    script = "import os, sys; os.ftruncate = lambda *_: os._exit(9)\n" + WRITER
    assert subprocess.run([sys.executable, "-c", script, path], timeout=240, check=False).returncode == 9
    assert reopened(path) == RECORDS[:-1]
