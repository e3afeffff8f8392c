"""`harness data`, as a user types it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli.data import app
from harness.data import catalog
from harness.spec.errors import UsageError
from tests.cli.support import harness
from tests.data.server import FileServer
from tests.data.server import server as server
from tests.data.test_catalog import BENCHMARK

DATA = bytes(range(256)) * 100
SOURCE = """
id = "toy"
title = "Toy"
licence = "none"
citation = ["me"]
[[files]]
path = "a.bin"
origin = {{ kind = "url", url = "{url}" }}
"""


@pytest.fixture
def folder(tmp_path: Path, server: FileServer) -> Path:
    """A folder with a manifest of one file, `mine/source.toml`."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "source.toml").write_text(SOURCE.format(url=server.put("/a.bin", DATA)))
    return tmp_path


def test_the_life_of_a_data_set(folder: Path, server: FileServer) -> None:
    absent = harness("data", "where", "mine/source.toml", folder=folder)
    assert absent.returncode == 2
    assert "toy is not here yet (1 of 1 files: a.bin); run: harness data fetch mine/source.toml" in absent.stderr
    fetched = harness("data", "fetch", "mine/source.toml", folder=folder)
    assert fetched.returncode == 0
    path = Path(fetched.stdout.strip())
    assert (path / "a.bin").read_bytes() == DATA
    assert fetched.stderr.strip().startswith("toy: nobody has recorded the sha256 of 1 of 1 files"), "no bar, no codes"
    assert "\x1b" not in fetched.stderr
    assert harness("data", "where", "mine/source.toml", folder=folder).stdout.strip() == str(path)
    assert harness("data", "verify", "mine/source.toml", folder=folder).stdout == "1 data set as fetched.\n"
    locked = harness("data", "lock", "mine/source.toml", folder=folder)
    assert locked.stdout.strip() == "mine/lock.json"
    assert json.loads((folder / "mine" / "lock.json").read_text())["files"]["a.bin"]["bytes"] == len(DATA)
    (path / "a.bin").chmod(0o644)
    (path / "a.bin").write_bytes(b"spoilt")
    damaged = harness("data", "verify", "mine/source.toml", folder=folder)
    assert damaged.returncode == 3
    assert "toy: a.bin: its sha256 is" in damaged.stdout
    assert "to mend it: harness data fetch mine/source.toml" in damaged.stdout
    mended = harness("data", "fetch", "mine/source.toml", folder=folder)
    assert (mended.returncode, mended.stderr) == (0, ""), "it is locked now: no warning"
    rehearsed = harness("data", "prune", "toy", "--dry-run", folder=folder)
    assert "26 kB would be freed." in rehearsed.stdout
    assert (path / "a.bin").read_bytes() == DATA
    assert "26 kB are freed." in harness("data", "prune", "toy", folder=folder).stdout
    assert harness("data", "where", "mine/source.toml", folder=folder).returncode == 2


def test_the_list_says_what_is_here(tmp_path: Path) -> None:
    before = json.loads(harness("data", "list", "--json", folder=tmp_path).stdout)
    (row,) = [each for each in before if each["id"] == "mnist-5k"]
    assert (row["files"], row["locked"], row["here"], row["bytes"]) == (1, 1, 0, 1106785)
    assert harness("data", "fetch", "mnist-5k", folder=tmp_path).returncode == 0
    lines = harness("data", "list", folder=tmp_path).stdout.splitlines()
    (line,) = [each for each in lines if "mnist-5k" in each]
    assert line.split()[-5:] == ["1.1", "MB", "1/1", "open", "yes"]
    (line,) = [each for each in lines if "cifar-100-c " in each]
    assert "0/1 + 1 md5" in line, "only an md5 is public"
    (row,) = [each for each in before if each["id"] == "cifar-100-c"]
    assert (row["locked"], row["locked_by_md5"]) == (0, 1)
    by = re.fullmatch(r"(\d+) of \d+ data sets are fully locked: (\d+) by sha256, (\d+) by md5 until .*", lines[-1])
    assert by
    assert int(by[1]) == int(by[2]) + int(by[3]) >= 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fetch", "mnist"], "no data set is called 'mnist'; did you mean"),
        (["verify"], "name one data set, or give --all."),
        (["verify", "mnist-5k", "--all"], "name one data set, or give --all."),
        (["verify", "mnist-5k"], "nothing of mnist-5k is here to verify; run: harness data fetch mnist-5k"),
        (["prune"], "name one data set, or give --all or --older DAYS."),
        (["prune", "mnist-5k", "--all"], "name one data set, or give --all or --older DAYS."),
        (["prune", "nothing-like-it"], "no data set is called"),
        (["fetch", "cifar-10", "--from", "nowhere"], "--from nowhere does not exist."),
        (
            ["fetch", "fdshifts-weights", "--file", "x*"],
            "no file of fdshifts-weights fits 'x*'; there are: iwildcam.zip",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    done = harness("data", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_archive_than_the_published_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not the real one")
    done = harness("data", "fetch", "cifar-10", "--from", ".", folder=tmp_path)
    assert done.returncode == 3
    assert "it has 16 bytes, expected 170052171" in done.stderr


def test_a_full_or_forbidden_cache_is_told_with_its_place(folder: Path) -> None:
    (folder / "file").write_text("")
    done = harness("data", "fetch", "mine/source.toml", folder=folder, HARNESS_CACHE=str(folder / "file" / "cache"))
    assert done.returncode == 2
    assert "HARNESS_CACHE names another place for it." in done.stderr
    assert "unexpected" not in done.stderr


def test_the_doctor_counts_a_file_with_two_names_once(folder: Path) -> None:
    from harness.cli.doctor import _size_of

    assert _size_of(folder / "cache") == 0
    harness("data", "fetch", "mine/source.toml", folder=folder)
    assert len(DATA) <= _size_of(folder / "cache") < len(DATA) + 2000


@pytest.fixture
def bundled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled data sets, of which there is one: `toy`."""
    monkeypatch.setattr(catalog, "_PACKAGE", folder / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    (folder / "datasets").mkdir()
    (folder / "mine").rename(folder / "datasets" / "toy")
    (folder / "datasets" / "toy" / "README.md").write_text("# toy\n")
    return folder / "datasets"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


BAD = {
    "syntax": (b"id = [", "is not valid TOML: "),
    "depth": (b"id = " + b"[" * 10_000, "is not valid TOML: "),
    "encoding": ('title = "für"'.encode("latin-1"), "is not valid TOML: 'utf-8' codec can't decode"),
    "unknown": (
        SOURCE.format(url="http://x").encode() + b'colour = "red"\n',
        "nothing is called so here; correct the name, or remove it",
    ),
    "type": (SOURCE.format(url="http://x").replace('"Toy"', "3").encode(), "title: it must be text, not 3"),
    "name": (SOURCE.format(url="http://x").encode(), "its folder is called 'bad'"),
    "base": (b'extends = "../none/source.toml"\n', "extends: there is no file "),
}


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_manifest_hides_no_other(bundled: Path, content: bytes, sentence: str) -> None:
    assert run("fetch", "toy").exit_code == 0
    (bundled / "bad").mkdir()
    (bundled / "bad" / "source.toml").write_bytes(content)
    listed = run("list", "--json")
    assert listed.exit_code == 2
    bad, good = sorted(json.loads(listed.stdout), key=lambda row: row["id"])
    assert (bad["id"], sentence in bad["error"], "\n" in bad["error"]) == ("bad", True, False)
    assert (good["id"], good["here"], "error" in good) == ("toy", 1, False)
    table = run("list")
    assert table.exit_code == 2
    assert "toy" in table.stdout
    assert f"bad: {bad['error']}" in table.stdout
    verified = run("verify", "--all")
    assert verified.exit_code == 2
    assert verified.stdout.splitlines() == [f"bad: {bad['error']}", "1 data set as fetched."]
    assert run("where", "toy").exit_code == 0


def test_a_damaged_lock_hides_no_other(bundled: Path) -> None:
    shutil.copytree(bundled / "toy", bundled / "bad")
    (bundled / "bad" / "source.toml").write_text(SOURCE.format(url="http://x").replace('"toy"', '"bad"'))
    (bundled / "bad" / "lock.json").write_text("{")
    listed = run("list", "--json")
    assert listed.exit_code == 2
    assert {row["id"]: "is not valid JSON" in row.get("error", "") for row in json.loads(listed.stdout)} == {
        "bad": True,
        "toy": False,
    }


def test_a_set_without_a_card_is_listed_with_that_and_still_fetched(bundled: Path) -> None:
    (bundled / "toy" / "README.md").unlink()
    listed = run("list", "--json")
    assert listed.exit_code == 2
    (row,) = json.loads(listed.stdout)
    assert row["files"] == 1
    assert row["error"] == f"{bundled / 'toy'} has no card; write a README.md that says what the data set is."
    assert run("fetch", "toy").exit_code == 0
    assert run("verify", "--all").exit_code == 0


def test_several_sets_are_fetched_at_once_and_none_where_a_name_is_wrong(bundled: Path) -> None:
    (bundled / "twin").mkdir()
    for name in ("source.toml", "README.md"):
        (bundled / "twin" / name).write_text((bundled / "toy" / name).read_text().replace("toy", "twin"))
    wrong = run("fetch", "toy", "twins")
    assert "no data set is called 'twins'; did you mean twin" in str(wrong.exception)
    assert json.loads(run("list", "--json").stdout)[0]["here"] == 0
    done = run("fetch", "toy", "twin")
    assert done.exit_code == 0
    assert [Path(line).name.rpartition("-")[0] for line in done.stdout.splitlines()[-2:]] == ["toy", "twin"]
    assert [row["here"] for row in json.loads(run("list", "--json").stdout)] == [1, 1]


def test_a_benchmark_is_prepared_and_the_unreadable_set_is_told(bundled: Path) -> None:
    (bundled / "bad").mkdir()
    (bundled / "bad" / "source.toml").write_text("id = [")
    (bundled.parent / "b.toml").write_text(BENCHMARK)
    done = run("prepare", str(bundled.parent / "b.toml"))
    assert isinstance(done.exception, UsageError)
    assert "has no file that is made from data sets. " in str(done.exception)
    assert "is not valid TOML" in str(done.exception)


def test_a_name_without_an_address_is_tried_once_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waits = [], []

    def refuse(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    (folder / "mine" / "source.toml").write_text(SOURCE.format(url="http://data.example.org/a.bin"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("harness.data.origins.http.time.sleep", waits.append)
    done = harness("data", "fetch", "mine/source.toml", folder=folder)
    assert done.returncode == 2
    assert "the name of the server is not found" in done.stderr
    assert "2 times in a row; check the network and run this again" in done.stderr
    assert len(waits) == 1
    assert waits[0] <= 1
    assert {str(host) for host in asked} <= {"data.example.org", "b'data.example.org'"}


def fetched_from(folder: Path, *lines: str) -> str:
    """What fetching `toy` from the folder `disk` says; `lines` pin its file."""
    text = SOURCE.format(url="http://data.example.org/a.bin") + "\n".join(lines)
    (folder / "mine" / "source.toml").write_text(text)
    done = harness("data", "fetch", "mine/source.toml", "--from", "disk", folder=folder, HF_HUB_OFFLINE="1")
    where = harness("data", "where", "mine/source.toml", folder=folder)
    if done.returncode == 0:
        assert (Path(where.stdout.strip()) / "a.bin").read_bytes() == DATA
    return done.stderr


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


PINS = (f'sha256 = "{hashlib.sha256(DATA).hexdigest()}"', f"bytes = {len(DATA)}")


def test_a_file_in_a_subfolder_is_found(folder: Path) -> None:
    put(folder / "disk" / "one" / "two" / "a.bin", DATA)
    assert "error" not in fetched_from(folder)


def test_of_several_files_the_digest_decides(folder: Path) -> None:
    put(folder / "disk" / "one" / "a.bin", DATA[::-1])
    put(folder / "disk" / "two" / "a.bin", DATA)
    both = re.escape(str(folder / "disk"))
    assert re.search(
        rf"which is a.bin, {both}/one/a.bin or {both}/two/a.bin\? Name one by --from.", fetched_from(folder)
    )
    assert "error" not in fetched_from(folder, *PINS)


def test_a_file_under_another_name_is_known_by_its_digest(folder: Path) -> None:
    put(folder / "disk" / "one" / "a (1).bin", DATA)
    put(folder / "disk" / "two" / "b.bin", DATA[::-1])
    assert "disk does not hold a.bin, which toy needs" in fetched_from(folder)
    assert "error" not in fetched_from(folder, *PINS)


def test_a_spoilt_file_in_a_subfolder_is_told(folder: Path) -> None:
    put(folder / "disk" / "one" / "a.bin", DATA[::-1])
    assert "one/a.bin is not the a.bin that was recorded for toy: its sha256 is" in fetched_from(folder, *PINS)
