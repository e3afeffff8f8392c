"""A cache in a folder that a group shares: what one user put there, another adds to."""

import os
import stat
import traceback

import filelock  # noqa: F401 - before the user changes: installed packages may be closed to others
import numpy as np
import pytest

from harness.data import store
from harness.data.array_cache import read_cached, write_cached
from harness.data.origins.base import ProgressListener
from harness.storage import make_folder

GROUP, FIRST, SECOND = 54321, 54321, 54322
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become other users")


def as_user(user, do):
    """Do it in a process of another user of the group, who lets nobody else write by their umask; whether it went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.umask(0o022)
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(user)
            code = 0 if do() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def shared(tmp_path, monkeypatch):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-", "test_")):  # pytest's own, closed to others
            folder.chmod(0o755)
    # What is imported on first use may be closed to others, too.
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    keep("ab0")
    lock()
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, 0, GROUP)
    cache.chmod(0o2775)
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    return cache


def keep(key):
    write_cached("outputs", key, {"x": np.arange(3)})
    return read_cached("outputs", key) is not None


def lock():
    with store.locked(store.sets_folder() / "digits-01234567", "digits", ProgressListener()):
        return True


@needs_root
def test_both_write_into_the_same_folders(shared):
    assert as_user(FIRST, lambda: keep("ab1"))
    assert as_user(SECOND, lambda: keep("ab2"))
    assert as_user(SECOND, lambda: keep("ab1"))


@needs_root
def test_both_lock_the_same_file(shared):
    assert as_user(FIRST, lock)
    assert as_user(SECOND, lock)
    assert as_user(SECOND, lambda: not store.is_busy(store.sets_folder() / "digits-01234567"))


def test_folders_elsewhere_are_as_the_umask_says(tmp_path):
    tmp_path.chmod(0o775)
    before = os.umask(0o022)
    try:
        made = make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(made.parent.stat().st_mode) == 0o755
