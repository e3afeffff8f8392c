"""Maps on the Hub, by the real client: uploaded once, pinned by their commit, fetched as anybody and judged."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.boards.submissions import read_about, write_about
from harness.execution.run_result import RunResult
from harness.spec.submission import Maps
from harness.storage import array_id, bytes_id
from tests.boards.explained import FROM_MAPS, FROM_THE_METHOD, MAPS, write_explained
from tests.hub_server import HubServer

PROVEN = "accepted; as reported until reproduced: local_lipschitz\n"
UNPROVEN = f"accepted; as reported until reproduced: {', '.join(('uniform_maps', *FROM_MAPS, *FROM_THE_METHOD))}\n"
HARNESS = """
import sys
from pathlib import Path
from harness.data import catalog
catalog._PACKAGE = Path.cwd() / "harness"
from harness.boards.gate import bounded, validate
bounded._in_child = lambda folder, changes, fetch, bounds: validate(folder, changes=changes, fetch=fetch)
from harness.cli import main
main()
"""
TOLD = ("--author", "Ada", "--licence", "MIT", "--citation", "none: known to all", "--training-data", "none")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(root / "cache"))
        write_explained(root)
        yield root


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    """With a run that nobody has submitted."""
    shutil.copytree(template, tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture(scope="module")
def shelved(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubServer, Path]]:
    """A Hub, and a checkout with a submission whose maps are there."""
    root = tmp_path_factory.mktemp("shelved")
    shutil.copytree(template, root / "checkout")
    with HubServer(root / "server") as server:
        submitted(server, root / "checkout")
        yield server, root / "checkout"


@pytest.fixture
def there(shelved: tuple[HubServer, Path], tmp_path: Path) -> tuple[HubServer, Path, Path]:
    """The Hub, a copy of the checkout, and the submission in it."""
    server, template = shelved
    shutil.copytree(template, tmp_path / "copy")
    return server, tmp_path / "copy", tmp_path / "copy" / "submissions" / "my-images@1" / "mine"


def harness(
    hub: HubServer, checkout: Path, *arguments: str | Path, token: str | None = "hf_writer"
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with the checkout's benchmarks for the bundled ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"COLUMNS": "300", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "HARNESS_CACHE": str(checkout / "cache")}
    return subprocess.run(
        [sys.executable, "-c", HARNESS, *map(str, arguments)],
        cwd=checkout,
        env={**inherited, **settings, **hub.environment(checkout / "home", token)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def submitted(hub: HubServer, checkout: Path, repo: str = "lab/maps") -> Path:
    (run,) = (checkout / "runs").iterdir()
    done = harness(hub, checkout, "submit", run, *TOLD, "--maps", repo)
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout / "submissions" / "my-images@1" / "mine"


def maps_of(folder: Path) -> Maps:
    maps = read_about(folder).maps
    assert maps is not None
    return maps


def validated(hub: HubServer, checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return harness(hub, checkout, "validate", "submissions/my-images@1/mine", *options, token=None)


def test_maps_go_to_the_hub_and_prove_there_what_they_prove_inline(there: tuple[HubServer, Path, Path]) -> None:
    hub, checkout, folder = there
    maps = maps_of(folder)
    repository = hub.repository("lab/maps")
    assert maps.revision in {commit.oid for commit in repository.history()}
    assert maps.repo == "lab/maps"
    assert maps.file is not None
    stored = hub.repository("lab/maps").read(maps.file, maps.revision)
    assert (bytes_id(stored), len(stored)) == (maps.sha256, maps.bytes)
    (run,) = (checkout / "runs").iterdir()
    (outputs,) = RunResult.open(run).outputs().values()
    assert maps.arrays == {MAPS: array_id(outputs["maps"])}
    assert not (folder / "maps.npz").exists()
    # Without --fetch-maps nothing is asked of the Hub.
    before = len(hub.requests)
    done = validated(hub, checkout)
    assert (done.returncode, done.stdout.split(": ", 1)[1]) == (0, UNPROVEN)
    assert len(hub.requests) == before
    # What others commit later changes nothing.
    hub.put("lab/maps", {maps.file: b"something else"})
    done = validated(hub, checkout, "--fetch-maps")
    assert (done.returncode, done.stdout.split(": ", 1)[1]) == (0, PROVEN), done.stdout + done.stderr
    assert all("authorization" not in each.headers for each in hub.requests[before:]), "as anybody"


def test_maps_that_the_hub_has_in_another_state(there: tuple[HubServer, Path, Path]) -> None:
    hub, checkout, folder = there
    about, maps = read_about(folder), maps_of(folder)
    assert maps.file is not None
    assert maps.bytes is not None
    good = hub.repository("lab/maps").read(maps.file, maps.revision)

    def judged(content: bytes) -> str:
        revision = hub.put("lab/maps", {maps.file: content})
        write_about(folder, about.model_copy(update={"maps": maps.model_copy(update={"revision": revision})}))
        done = validated(hub, checkout, "--fetch-maps")
        assert done.returncode == 1
        return done.stdout

    assert f"the Hub has {len(good) + 1} bytes of {maps.file} in lab/maps at" in judged(good + b"0")
    flipped = bytes([*good[:-30], good[-30] ^ 1, *good[-29:]])
    assert "is not the file of maps that the submission names (its size or hash differs)" in judged(flipped)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"repo": "lab/nothing"}, "the maps could not be fetched: "),
        ({"revision": "1" * 40}, "the maps could not be fetched: "),
        ({"file": "nothing.npz"}, "the maps could not be fetched: nothing.npz in lab/maps at "),
        ({"bytes": 600_000_000}, "the maps in lab/maps have 600 MB, more than the 500 MB that are fetched."),
    ],
)
def test_maps_that_cannot_be_had(there: tuple[HubServer, Path, Path], change: dict[str, object], sentence: str) -> None:
    hub, checkout, folder = there
    write_about(folder, read_about(folder).model_copy(update={"maps": maps_of(folder).model_copy(update=change)}))
    done = validated(hub, checkout, "--fetch-maps")
    assert done.returncode == 1
    assert f"refused: outputs: {sentence}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("token", "advice"), [(None, "run: hf auth login"), ("hf_reader", "this account may not write to lab/maps")]
)
def test_nothing_is_stored_where_the_hub_refuses(
    hub: HubServer, checkout: Path, token: str | None, advice: str
) -> None:
    (run,) = (checkout / "runs").iterdir()
    done = harness(hub, checkout, "submit", run, *TOLD, "--maps", "lab/maps", token=token)
    assert done.returncode == 2
    assert advice in done.stderr
    assert not (checkout / "submissions" / "my-images@1").exists()


def test_nothing_is_stored_where_there_is_no_hub(hub: HubServer, checkout: Path) -> None:
    (run,) = (checkout / "runs").iterdir()
    hub.stop()
    done = harness(hub, checkout, "submit", run, *TOLD, "--maps", "lab/maps")
    assert done.returncode == 2
    assert "the Hub cannot be reached for lab/maps" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / "submissions" / "my-images@1").exists()


def test_a_hostile_file_on_the_hub_is_not_unpickled(there: tuple[HubServer, Path, Path]) -> None:
    hub, checkout, folder = there
    stream = io.BytesIO()
    np.savez(stream, **{MAPS: np.array([{"a": 1}], dtype=object)})
    content = stream.getvalue()
    maps = maps_of(folder)
    assert maps.file is not None
    told = {
        "revision": hub.put("lab/maps", {maps.file: content}),
        "sha256": bytes_id(content),
        "bytes": len(content),
    }
    write_about(folder, read_about(folder).model_copy(update={"maps": maps.model_copy(update=told)}))
    done = validated(hub, checkout, "--fetch-maps")
    assert done.returncode == 1
    assert "has the unsafe dtype object" in done.stdout
