"""The Hub's own client against a server that answers as the Hub does; in processes of their own, as it needs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.sources import sha256
from tests.hub_server import HubServer, run_code, run_harness

DATA = bytes(range(256)) * 400
MANIFEST = """
id = "toy"
title = "Toy"
licence = "none"
citation = ["me"]
homepage = "https://example.org/toy"
[[files]]
path = "train.bin"
origin = {{ kind = "hub", repo = "lab/set", file = "data/train.bin"{revision} }}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub-server") as server:
        yield server


def manifest(folder: Path, revision: str | None = None, more: str = "") -> Path:
    text = MANIFEST.format(revision=f', revision = "{revision}"' if revision else "")
    (folder / "source.toml").write_text(text + more)
    return folder / "source.toml"


def data(
    hub: HubServer, folder: Path, *arguments: str, token: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """`harness data ARGUMENTS source.toml`, by a user with that token."""
    settings = hub.environment(folder / "home", token, **more)
    return run_harness("data", *arguments, "source.toml", environment=settings, folder=folder)


def fetched(done: subprocess.CompletedProcess[str]) -> bytes:
    assert done.returncode == 0, done.stderr
    return (Path(done.stdout.strip()) / "train.bin").read_bytes()


def test_a_file_is_fetched_at_its_commit_although_the_branch_moved_on(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    hub.put("lab/set", {"data/train.bin": b"newer" * 5000})
    manifest(tmp_path, commit)
    assert fetched(data(hub, tmp_path, "fetch")) == DATA
    assert all(commit in request.path for request in hub.seen("GET", "/resolve/"))


def test_locking_records_the_commit_and_pins_it(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    manifest(tmp_path)
    unlocked = data(hub, tmp_path, "fetch")
    assert fetched(unlocked) == DATA
    assert "nobody has recorded the sha256 of 1 of 1 files" in unlocked.stderr
    done = data(hub, tmp_path, "lock")
    assert done.returncode == 0, done.stderr
    lock = json.loads((tmp_path / "lock.json").read_text())
    assert lock["files"] == {"train.bin": {"sha256": sha256(DATA), "bytes": len(DATA), "revision": commit}}
    hub.put("lab/set", {"data/train.bin": b"newer" * 5000})
    again = data(hub, tmp_path, "fetch", HARNESS_CACHE=str(tmp_path / "empty"))
    assert fetched(again) == DATA, "a user with another cache gets what was locked"
    assert again.stderr == ""


def test_another_content_at_the_same_commit_is_refused(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    path = manifest(tmp_path, commit)
    path.write_text(path.read_text() + f'sha256 = "{sha256(b"x")}"\n')
    done = data(hub, tmp_path, "fetch")
    assert done.returncode == 3
    assert "is not the file that was recorded: its sha256 is" in done.stderr
    assert len(list((tmp_path / "cache/data/quarantine").iterdir())) == 1


def test_a_broken_download_is_mended_by_the_client(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    manifest(tmp_path, commit)
    hub.cut(sha256(DATA), 30_000)
    assert fetched(data(hub, tmp_path, "fetch")) == DATA


def test_offline_a_file_comes_from_where_other_programs_have_put_it(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    manifest(tmp_path, commit)
    refused = data(hub, tmp_path, "fetch", HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    assert "train.bin is not here and HF_HUB_OFFLINE is set, nor does the Hub's own cache hold it" in refused.stderr
    code = f"from huggingface_hub import *; hf_hub_download('lab/set', 'data/train.bin', repo_type='dataset', revision='{commit}')"
    run_code(code, hub.environment(tmp_path / "home", None), tmp_path)
    asked = len(hub.requests)
    assert fetched(data(hub, tmp_path, "fetch", HF_HUB_OFFLINE="1")) == DATA
    assert len(hub.requests) == asked


def test_a_gated_repository_names_the_page_where_access_is_asked_for(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    hub.repository("lab/set").gated = True
    hub.repository("lab/set").readers.add("bob")
    path = manifest(tmp_path, commit)
    path.write_text('terms = "accept the licence"\n' + path.read_text())
    refused = data(hub, tmp_path, "fetch")
    assert refused.returncode == 2
    assert "lab/set is gated: ask for access at https://huggingface.co/datasets/lab/set" in refused.stderr
    assert "hf auth login" in refused.stderr
    assert "accept the licence" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert fetched(data(hub, tmp_path, "fetch", token="hf_reader")) == DATA


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('repo = "lab/set"|repo = "lab/no"', "lab/no does not exist on the Hub"),
        ('file = "data/train.bin"|file = "no.bin"', "lab/set has no no.bin; get train.bin by hand"),
    ],
)
def test_what_the_hub_has_not(hub: HubServer, tmp_path: Path, change: str, sentence: str) -> None:
    commit = hub.put("lab/set", {"data/train.bin": DATA})
    path = manifest(tmp_path, commit)
    path.write_text(path.read_text().replace(*change.split("|")))
    done = data(hub, tmp_path, "fetch")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_commit_that_the_hub_has_not(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"data/train.bin": DATA})
    manifest(tmp_path, "0" * 40)
    done = data(hub, tmp_path, "fetch")
    assert done.returncode == 2
    assert f"lab/set has no revision {'0' * 40} (any more)" in done.stderr


def test_a_hub_that_is_not_there(hub: HubServer, tmp_path: Path) -> None:
    manifest(tmp_path, "0" * 40)
    hub.stop()
    done = data(hub, tmp_path, "fetch")
    assert done.returncode == 2, done.stderr
    assert "the Hub cannot be reached for lab/set" in done.stderr
