"""Publishing with the real client against a server of the Hub's kind, each call as a user makes it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from harness.data import catalog, published_sets
from harness.publish.meta_evaluation import build
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.hub_server import HubServer, run_code, run_harness
from tests.publish.conftest import Workshop
from tests.publish.test_build import MadeUp

FULL = re.compile(r"revision ([0-9a-f]{40})")
PUBLISH = ("data", "publish", "meta-evaluation", "--repo", "lab/maps", "--dir", "set")


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return hub.environment(tmp_path / "home")


def said(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def publish(folder: Path, environment: Mapping[str, str], *more: str, code: int = 0) -> str:
    return said(run_harness(*PUBLISH, *more, environment=environment, folder=folder), code)


def fetch(folder: Path, environment: Mapping[str, str], *more: str, code: int = 0) -> str:
    arguments = ("data", "fetch", "meta-evaluation", "--repo", "lab/maps", *more)
    return said(run_harness(*arguments, environment=environment, folder=folder), code)


def test_the_way_of_a_set_from_runs_to_readers(
    hub: HubServer, workshop: Workshop, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Build, publish, publish again, fetch, load both configurations, and all of it again without the network."""
    arguments = ["--benchmark", workshop.benchmark, "--out", "set", "--from", *workshop.folders]
    said(run_harness("data", "build", "meta-evaluation", *arguments, environment=environment, folder=tmp_path))
    printed = publish(tmp_path, environment)
    revision = FULL.search(printed)
    assert revision is not None
    repository = hub.repository("lab/maps")
    assert repository.commit("main").oid == revision[1]
    assert repository.blob("main", "data/scores/00000.parquet").large
    assert not repository.blob("main", "README.md").large

    assert f"nothing has changed since {revision[1]}" in publish(tmp_path, environment)
    assert len(repository.history()) == 2

    fetched = fetch(tmp_path, environment, "--config", "scores")
    folder = Path(fetched.splitlines()[0])
    assert f"revision {revision[1]}" in fetched
    assert [str(path.relative_to(folder)) for path in folder.rglob("*.parquet")] == ["data/scores/00000.parquet"]
    assert not [each for each in hub.requests if "/data/maps/" in each.path]

    _check_loaded(workshop, tmp_path, environment)
    before = len(hub.requests)
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    assert fetch(tmp_path, offline, "--config", "scores") == fetched
    _check_loaded(workshop, tmp_path, offline)
    assert len(hub.requests) == before


LOAD = """
import datasets, json
scores = datasets.load_dataset("lab/maps", "scores", split="train")
maps = datasets.load_dataset("lab/maps", "maps-image-my-images-test", split="train")
from harness.publish.schema import MAP_COLUMNS, SCORE_COLUMNS, features
assert scores.features == features(SCORE_COLUMNS), scores.features
assert maps.features == features(MAP_COLUMNS), maps.features
from datasets import load_dataset_builder
info = load_dataset_builder("lab/maps", "scores").info  # from the card alone
assert info.splits["train"].num_examples == 72, info
from harness.data.meta_evaluation import decode_map
rows = [{**{k: v for k, v in row.items() if k != "map"}, "map": decode_map(row).tolist()} for row in maps]
print(json.dumps({"scores": list(scores), "maps": rows}))
"""


def _check_loaded(workshop: Workshop, folder: Path, environment: Mapping[str, str]) -> None:
    loaded = json.loads(run_code(LOAD, environment, folder))
    stored = {run.document.spec.method.name: next(iter(run.outputs().values())) for run in workshop.runs}
    assert (len(loaded["maps"]), len(loaded["scores"])) == (18, 72)
    for row in loaded["maps"]:
        truth = stored[row["method"]]["maps"][int(row["observation"])]
        np.testing.assert_allclose(row["map"], truth, rtol=2**-11, atol=2**-38 * float(np.abs(truth).max()))
    for row in loaded["scores"]:
        value = stored[row["method"]][f"score.{row['metric']}"][int(row["observation"])]
        assert row["value"] == (value if np.isfinite(value) else None)


def test_a_pull_request_is_opened_fetched_and_merged(
    hub: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    """By somebody who may not write there; the repository's `main` stays as it was until the merge."""
    hub.put("lab/maps", {"README.md": b"# Nothing yet\n"})
    repository = hub.repository("lab/maps")
    build([MadeUp()], tmp_path / "set")
    guest = hub.environment(tmp_path / "guest", "hf_reader")
    printed = publish(tmp_path, guest, "--create-pr")
    assert f"pull request {hub.endpoint}/datasets/lab/maps/discussions/1" in printed
    assert "provenance.json" not in repository.commit("main").files
    assert repository.read("provenance.json", "refs/pr/1") == (tmp_path / "set/provenance.json").read_bytes()

    folder = Path(fetch(tmp_path, environment, "--revision", "refs/pr/1").splitlines()[0])
    assert (folder / "data/scores/00000.parquet").is_file()
    merge = "from huggingface_hub import HfApi; HfApi().merge_pull_request('lab/maps', 1, repo_type='dataset')"
    run_code(merge, environment, tmp_path)
    assert repository.read("README.md") == (tmp_path / "set/README.md").read_bytes()


def test_a_pinned_revision_stays_what_it_was(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    """A later state replaces the files of an earlier one; files that are not the set's own are left alone."""
    build([MadeUp(count=40)], tmp_path / "old")
    build([MadeUp(count=30)], tmp_path / "new")
    (tmp_path / "set").symlink_to("old")
    first = FULL.search(publish(tmp_path, environment))
    stray = {"data/scores/00007.parquet": b"PAR1 of an earlier state", "LICENSE": b"terms"}
    hub.put("lab/maps", stray)
    (tmp_path / "set").unlink()
    (tmp_path / "set").symlink_to("new")
    publish(tmp_path, environment)
    assert first is not None
    files = hub.repository("lab/maps").commit("main").files
    assert "LICENSE" in files
    assert "data/scores/00007.parquet" not in files
    counted = "import pyarrow.parquet as pq, sys; print(pq.read_metadata(sys.argv[1] + '/data/scores/00000.parquet').num_rows)"
    for revision, rows in ((first[1], "40"), ("main", "30")):
        folder = fetch(tmp_path, environment, "--config", "scores", "--revision", revision).splitlines()[0]
        assert run_code(counted, environment, tmp_path, folder) == rows


def test_large_sets_go_in_several_commits_with_the_card_last(
    hub: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    build([MadeUp()], tmp_path / "set")
    code = (
        "import sys; from pathlib import Path; from harness.publish import hub; hub.FILES_PER_COMMIT = 2\n"
        "made = hub.publish(hub.files_of(Path('set')), 'lab/maps', message='All', create_pr=sys.argv[1] == 'pr')\n"
        "print(made.revision, made.pull_request)"
    )
    revision, _ = run_code(code, environment, tmp_path, "direct").split()
    commits = hub.repository("lab/maps").history()
    assert [each.title for each in commits[:2]] == ["All (2 of 2)", "All (1 of 2)"]
    assert commits[0].oid == revision
    assert "README.md" not in commits[1].files
    (tmp_path / "set" / "more").mkdir()
    for number in range(5):
        (tmp_path / "set" / "more" / f"{number}.txt").write_text(str(number))
    revision, pull_request = run_code(code, environment, tmp_path, "pr").split()
    assert pull_request.endswith("/discussions/1")
    assert len(hub.repository("lab/maps").pulls) == 1
    assert hub.repository("lab/maps").commit("refs/pr/1").oid == revision
    assert hub.repository("lab/maps").read("more/4.txt", "refs/pr/1") == b"4"


def test_a_publication_that_was_cut_off_goes_on(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    build([MadeUp()], tmp_path / "set")
    hub.create("lab/maps")
    hub.refuse("/commit/main", 502)
    assert "the Hub is busy (502)" in publish(tmp_path, environment, code=2)
    sent = len(hub.seen("PUT"))
    publish(tmp_path, environment)
    assert sent == len(hub.seen("PUT")) > 0, "large files that have arrived are not sent again"
    assert hub.repository("lab/maps").read("README.md") == (tmp_path / "set/README.md").read_bytes()


def test_somebody_elses_commit_is_not_overwritten(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    build([MadeUp()], tmp_path / "set")
    hub.create("lab/maps")
    hub.refuse("/commit/main", 412)
    assert "somebody else has committed to lab/maps meanwhile" in publish(tmp_path, environment, code=2)


REFUSALS = """
import json, os, sys
from pathlib import Path
from harness.data.published_sets import fetch_configs
from harness.publish.hub import files_of, publish
from harness.spec.errors import UsageError
for token, call in json.loads(sys.argv[1]):
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token
    try:
        print(eval(call))
    except UsageError as error:
        print(error)
"""


def refusals(environment: Mapping[str, str], folder: Path, cases: list[tuple[str | None, str, str]]) -> None:
    """Each case: token, call, and how the sentence of its UsageError begins. All in one process, to save time."""
    calls = json.dumps([(token, call) for token, call, _ in cases])
    lines = run_code(REFUSALS, environment, folder, calls).splitlines()
    for line, (_, _, sentence) in zip(lines, cases, strict=True):
        assert line.startswith(sentence)


PUSH = "publish(files_of(Path('set')), 'lab/maps', message='All')"


def test_who_cannot_publish_is_told_why(hub: HubServer, tmp_path: Path) -> None:
    build([MadeUp()], tmp_path / "set")
    cases = [
        (None, PUSH, "you are not logged in to the Hugging Face Hub; run: hf auth login"),
        ("hf_nobody", PUSH, "the Hub does not know the token that is used"),
        ("hf_reader", PUSH, "this account may not write to lab/maps"),
        ("hf_writer", PUSH.replace("lab/", ""), "'maps' is not the name of a repository"),
        ("hf_writer", PUSH.replace("'set'", "'none'"), "the folder none does not exist"),
    ]
    refusals(hub.environment(tmp_path / "home", None), tmp_path, cases)
    assert ("dataset", "lab/maps") not in hub.repositories
    assert not hub.seen("PUT")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so nothing can be published"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "the Hub cannot be reached for lab/maps"),
    ],
)
def test_without_the_hub_nothing_is_published(
    hub: HubServer, tmp_path: Path, more: dict[str, str], sentence: str
) -> None:
    build([MadeUp()], tmp_path / "set")
    assert sentence in publish(tmp_path, hub.environment(tmp_path / "home", **more), code=2)


def test_a_damaged_set_is_not_published(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    build([MadeUp()], tmp_path / "set")
    (tmp_path / "set/data/scores/00000.parquet").write_bytes(b"PAR1")
    assert "is not the file that was built" in publish(tmp_path, environment, code=3)
    assert not hub.requests


def test_what_is_no_set_is_not_published(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "set").mkdir()
    assert "holds no finished data set" in publish(tmp_path, environment, code=2)


def test_what_cannot_be_fetched_is_said(hub: HubServer, tmp_path: Path) -> None:
    build([MadeUp()], tmp_path / "set")
    hub.put("lab/maps", {name: (tmp_path / "set" / name).read_bytes() for name in ("README.md", "provenance.json")})
    hub.put("lab/other", {"a.txt": b"a"})
    hub.create("lab/gated", gated=True)
    cases = [
        ("hf_writer", "fetch_configs('lab/none')", "lab/none does not exist on the Hub or is closed to this account"),
        (
            "hf_reader",
            "fetch_configs('lab/gated')",
            "lab/gated is gated: ask for access at https://huggingface.co/datasets/lab/gated",
        ),
        ("hf_nobody", "fetch_configs('lab/maps')", "the Hub answers 401 for lab/maps; run: hf auth login"),
        ("hf_writer", "fetch_configs('lab/maps', (), 'v9')", "lab/maps has no revision v9"),
        ("hf_writer", "fetch_configs('lab/other')", "lab/other is not a data set that the harness published"),
        ("hf_writer", "fetch_configs('lab/maps', ['score'])", "no configuration of lab/maps is called 'score'"),
        ("hf_writer", "fetch_configs('lab')", "'lab' is not the name of a repository"),
    ]
    refusals(hub.environment(tmp_path / "home", None), tmp_path, cases)


def test_a_set_must_be_somewhere(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_harness("data", "fetch", "meta-evaluation", environment=environment, folder=tmp_path)
    assert "add --repo ORG/NAME" in said(done, 2)
    done = run_harness("data", "fetch", "cifar-10", "--config", "a", environment=environment, folder=tmp_path)
    assert "cifar-10 takes --file" in said(done, 2)


def test_a_file_that_was_changed_on_the_hub_is_refused(
    hub: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    build([MadeUp()], tmp_path / "set")
    publish(tmp_path, environment)
    hub.put("lab/maps", {"data/scores/00000.parquet": b"PAR1 something else"})
    assert "is not the file that was built" in fetch(tmp_path, environment, code=3)


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "data/*", "a/../../b"])
def test_a_record_cannot_name_files_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    asked: list[list[str]] = []

    def snapshot(repo: str, revision: str, patterns: list[str]) -> Path:
        asked.append(patterns)
        return tmp_path

    monkeypatch.setattr(published_sets, "_snapshot", snapshot)
    record = {"shards": [{"config": "scores", "path": path, "sha256": "0" * 64}]}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match="names a file outside of the data set"):
        published_sets.fetch_configs("lab/maps")
    assert len(asked) == 1


def test_the_place_of_a_set_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "bundled_folder", lambda name: tmp_path)
    (tmp_path / "meta-evaluation").mkdir()
    path = tmp_path / "meta-evaluation" / "published.toml"
    path.write_text('repo = "lab/maps"\nrevision = "0123"\n')
    assert published_sets.known_location("meta-evaluation") == published_sets.HubLocation("lab/maps", "0123")
    path.write_text("repo = 1\n")
    with pytest.raises(UsageError, match="must hold the texts"):
        published_sets.known_location("meta-evaluation")


def test_a_pack_is_published_as_it_is(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    arguments = ("data", "publish", "pack", "pack", "--repo", "lab/pack")
    assert "holds no pack" in said(run_harness(*arguments, environment=environment, folder=tmp_path), 2)
    (pack / "pack.json").write_text("{}")
    (pack / "logits.safetensors").write_bytes(b"12345678")
    (pack / ".cache").write_text("not this")
    (pack / "run.lock").write_text("nor this")
    said(run_harness(*arguments, environment=environment, folder=tmp_path))
    assert set(hub.repository("lab/pack").commit("main").files) == {".gitattributes", "logits.safetensors", "pack.json"}
    assert hub.repository("lab/pack").blob("main", "logits.safetensors").large


def test_boards_are_published_as_tables(hub: HubServer, tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ("board", "publish", "confidence-mnist@1", "--repo", "lab/boards")
    said(run_harness(*arguments, environment=environment, folder=tmp_path))
    assert "nothing has changed" in said(run_harness(*arguments, environment=environment, folder=tmp_path))
    code = (
        "import datasets, json\n"
        "sets = {name: list(datasets.load_dataset('lab/boards', name, split='train')) for name in ('boards', 'submissions', 'scores')}\n"
        "print(json.dumps(sets))"
    )
    loaded = json.loads(run_code(code, environment, tmp_path))
    board = json.loads((Path(__file__).parents[2] / "leaderboards/confidence-mnist/1/board.json").read_text())
    expected = {
        (row["method"], column): cell["value"] for row in board["rows"] for column, cell in row["cells"].items()
    }
    assert {(row["method"], row["column"]): row["value"] for row in loaded["boards"]} == expected
    assert {row["method"] for row in loaded["submissions"]} >= {row["method"] for row in board["rows"]}
    assert {row["status"] for row in loaded["scores"] if row["value"] is not None} == {"ok"}


def test_boards_go_into_a_pull_request(hub: HubServer, tmp_path: Path) -> None:
    hub.create("lab/boards")
    guest = hub.environment(tmp_path / "home", "hf_reader")
    arguments = ("board", "publish", "query-mnist@2", "--repo", "lab/boards", "--create-pr")
    assert "/discussions/1" in said(run_harness(*arguments, environment=guest, folder=tmp_path))
    assert "data/boards/00000.parquet" in hub.repository("lab/boards").commit("refs/pr/1").files
    assert "data/boards/00000.parquet" not in hub.repository("lab/boards").commit("main").files
