"""A file is whole or absent, whatever fails."""

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.storage import (
    IntegrityError,
    StorageError,
    json_text,
    read_json,
    remove_stale_temporaries,
    replacing,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
)

from .support import failing

WRITERS = [
    pytest.param(lambda path: write_bytes(path, b"new" * 50_000), id="bytes"),
    pytest.param(lambda path: write_text(path, "new" * 50_000), id="text"),
    pytest.param(lambda path: write_json(path, ["new"] * 50_000), id="json"),
    pytest.param(lambda path: write_arrays(path, {"new": list(range(50_000))}), id="arrays"),
]


@contextmanager
def file_size_limit(size):
    """Make the kernel refuse real writes beyond `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    return path


def assert_untouched(path):
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - as independent of the code as can be


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize(("owner", "name"), [(os, "open"), (os, "fsync"), (Path, "replace")])
def test_a_refused_write_changes_nothing_and_says_so(old, monkeypatch, write, code, owner, name):
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(code))
        with pytest.raises(StorageError) as raised:
            write(old)
    assert str(raised.value) == f"Could not write {old}: {os.strerror(code)}; nothing was changed."
    assert raised.value.__cause__.errno == code
    assert_untouched(old)


@pytest.mark.parametrize("write", WRITERS)
def test_a_write_the_kernel_cuts_short_changes_nothing(old, write):
    with file_size_limit(1000), pytest.raises(StorageError, match=r"File too large; nothing was changed\.$"):
        write(old)
    assert_untouched(old)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupt_leaves_no_temporary(old, error):
    def interrupted():
        with replacing(old) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert_untouched(old)


def test_a_failed_clean_up_does_not_hide_the_cause(old, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(errno.ENOSPC))
        patch.setattr(Path, "unlink", failing(errno.EROFS))
        with pytest.raises(StorageError, match="No space left"):
            write_bytes(old, b"new")
    assert len(remove_stale_temporaries(old.parent)) == 1
    assert_untouched(old)


def test_a_file_whose_directory_cannot_be_synced_is_not_called_unchanged(old, monkeypatch):
    real = os.fsync

    def fail_for_directories(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_directories)
    with pytest.raises(StorageError, match="was written, but may be lost at a power failure: Input/output"):
        write_bytes(old, b"new")
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize(("durable", "expected"), [(True, ["file", "rename", "directory"]), (False, ["rename"])])
def test_the_file_is_synced_before_it_is_renamed_and_its_directory_after(old, monkeypatch, durable, expected):
    steps = []
    sync, replace = os.fsync, Path.replace
    kind = {True: "directory", False: "file"}
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(kind[stat.S_ISDIR(os.fstat(fd).st_mode)]), sync(fd)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (steps.append("rename"), replace(*paths)))
    write_bytes(old, b"new", durable=durable)
    assert steps == expected
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("target", ["missing/result", "directory"])
def test_impossible_targets_are_storage_errors(tmp_path, target):
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageError, match="nothing was changed"):
        write_bytes(tmp_path / target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_a_symbolic_link_is_replaced_not_followed(old):
    link = old.with_name("link")
    link.symlink_to(old)
    write_text(str(link), "new")
    assert (link.is_symlink(), link.read_text(), old.read_bytes()) == (False, "new", b"old")


def test_files_get_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "result", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o640


def test_only_temporaries_are_removed(tmp_path):
    kept = [".harness-0123456789abcdef.tmp.npz", "harness-0123456789abcdef.tmp", ".harness-12.tmp", "a.tmp"]
    stale = ".harness-0123456789abcdef.tmp"
    for name in [*kept, stale]:
        (tmp_path / name).touch()
    assert remove_stale_temporaries(tmp_path) == (tmp_path / stale,)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_the_temporary_of_a_killed_writer_is_recognised(old):
    code = "import os, sys; from harness.storage import replacing\nwith replacing(sys.argv[1]): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, old], check=False)
    assert len(remove_stale_temporaries(old.parent)) == 1
    assert_untouched(old)


def test_removal_of_temporaries_reports_failure(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        remove_stale_temporaries(tmp_path / "absent")


def test_json_is_sorted_indented_and_ends_in_a_newline(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"b": [{"d": 2, "c": 1.5}, []], "a": "é"})
    assert path.read_text("utf-8") == '{\n "a": "é",\n "b": [\n  {"c": 1.5, "d": 2},\n  []\n ]\n}\n'
    assert read_json(path) == {"a": "é", "b": [{"c": 1.5, "d": 2}, []]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_laid_out_json_is_the_same_value_in_the_same_order(value):
    assert json.loads(json_text(value)) == value
    assert json.dumps(json.loads(json_text(value))) == json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), ({1: 2}, TypeError)])
def test_json_that_cannot_be_written_changes_nothing(old, value, error):
    with pytest.raises(error):
        write_json(old, value)
    assert_untouched(old)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a": 1',
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b'{"a": 1, "a": 2}',
        b'"\xff"',
        b'"\\ud800"',
        b"[" * 200_000,
    ],
)
def test_json_of_strangers_is_read_strictly(tmp_path, data):
    path = tmp_path / "run.json"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"run\.json is not valid JSON"):
        read_json(path)


def test_json_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b"[1,2,3]")
    assert read_json(path, max_bytes=7) == [1, 2, 3]
    with pytest.raises(IntegrityError, match="larger than the 6 bytes"):
        read_json(path, max_bytes=6)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent")
