"""The real clients of the Hub against the server: what works there works here, and fails as it fails there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.hub_server import HubServer, run_code

DATA = bytes(range(256)) * 400  # 100 kB
FIRST = "import json, sys; from huggingface_hub import *; api = HfApi()\n"


def run(hub: HubServer, folder: Path, code: str, *arguments: str, token: str | None = "hf_writer", **more: str) -> str:
    return run_code(FIRST + code, hub.environment(folder / "home", token, **more), folder, *arguments)


def error_of(hub: HubServer, folder: Path, call: str, *, token: str | None = "hf_writer") -> str:
    """Name of the exception that a call raises."""
    code = f"try:\n    {call}\nexcept Exception as error:\n    print(type(error).__name__, getattr(error, 'response', None) and error.response.status_code)"
    return run(hub, folder, code, token=token)


def test_who_am_i(hub: HubServer, tmp_path: Path) -> None:
    assert run(hub, tmp_path, "print(api.whoami()['name'], api.whoami()['orgs'][0]['name'])") == "ada lab"


def test_a_repository_is_made_once(hub: HubServer, tmp_path: Path) -> None:
    run(
        hub,
        tmp_path,
        "create_repo('lab/set', repo_type='dataset'); create_repo('lab/set', repo_type='dataset', exist_ok=True)",
    )
    assert [commit.title for commit in hub.repository("lab/set").history()] == ["initial commit"]
    assert error_of(hub, tmp_path, "create_repo('lab/set', repo_type='dataset')") == "HfHubHTTPError 409"


def test_small_and_large_files_arrive_in_one_commit(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "big.bin").write_bytes(DATA)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Hello\n")
    hub.create("lab/set")
    oid = run(
        hub, tmp_path, "print(api.upload_folder(repo_id='lab/set', repo_type='dataset', folder_path='folder').oid)"
    )
    repository = hub.repository("lab/set")
    assert repository.commit("main").oid == oid
    assert len(repository.history()) == 2
    assert repository.read("data/big.bin") == DATA
    assert repository.blob("main", "data/big.bin").large
    assert not repository.blob("main", "README.md").large
    assert hub.seen("POST", "/api/validate-yaml")
    assert [each.path for each in hub.seen("PUT")] == [f"/storage/{hashlib.sha256(DATA).hexdigest()}"]


def test_content_that_is_there_is_not_sent_again(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(DATA)
    hub.create("lab/set")
    code = "print(api.upload_file(path_or_fileobj='big.bin', path_in_repo=sys.argv[1], repo_id='lab/set', repo_type='dataset').oid)"
    run(hub, tmp_path, code, "one.bin")
    second = run(hub, tmp_path, code, "two.bin")
    assert len(hub.seen("PUT")) == 1
    assert run(hub, tmp_path, code, "two.bin") == second
    assert len(hub.repository("lab/set").history()) == 3


def test_a_bad_yaml_head_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.create("lab/set")
    (tmp_path / "README.md").write_text("---\nlicense: [1, 2\n---\n")
    call = (
        "api.upload_file(path_or_fileobj='README.md', path_in_repo='README.md', repo_id='lab/set', repo_type='dataset')"
    )
    assert error_of(hub, tmp_path, call).startswith("ValueError")
    assert len(hub.repository("lab/set").history()) == 1


def test_a_file_and_a_folder_are_deleted(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a.txt": b"a", "b/c.txt": b"c", "b/d.txt": b"d", "e.txt": b"e"})
    operations = "[CommitOperationDelete('a.txt'), CommitOperationDelete('b/')]"
    run(hub, tmp_path, f"api.create_commit('lab/set', {operations}, commit_message='Clear', repo_type='dataset')")
    assert set(hub.repository("lab/set").commit("main").files) == {".gitattributes", "e.txt"}


def test_a_commit_on_an_old_parent_is_refused(hub: HubServer, tmp_path: Path) -> None:
    old = hub.put("lab/set", {"a": b"a"})
    hub.put("lab/set", {"b": b"b"})
    call = f"api.create_commit('lab/set', [CommitOperationAdd('c', b'c')], commit_message='Add c', repo_type='dataset', parent_commit='{old}')"
    assert error_of(hub, tmp_path, call) == "HfHubHTTPError 412"


def test_a_pull_request_is_opened_read_and_merged(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a.txt": b"a"})
    code = (
        "made = api.create_commit('lab/set', [CommitOperationAdd('new.txt', b'new')], commit_message='New file',"
        " repo_type='dataset', create_pr=True)\n"
        "print(made.pr_num, made.pr_revision)"
    )
    assert run(hub, tmp_path, code, token="hf_reader") == "1 refs/pr/1"
    assert "new.txt" not in hub.repository("lab/set").commit("main").files
    folder = run(hub, tmp_path, "print(snapshot_download('lab/set', repo_type='dataset', revision='refs/pr/1'))")
    assert (Path(folder) / "new.txt").read_bytes() == b"new"
    hub.put("lab/set", {"meanwhile.txt": b"m"})
    details = "d = api.get_discussion_details('lab/set', 1, repo_type='dataset'); print(d.status, d.is_pull_request, d.author)"
    assert run(hub, tmp_path, details) == "open True bob"
    run(hub, tmp_path, "api.merge_pull_request('lab/set', 1, repo_type='dataset')")
    assert {"a.txt", "new.txt", "meanwhile.txt"} < set(hub.repository("lab/set").commit("main").files)
    assert run(hub, tmp_path, details) == "merged True bob"
    assert error_of(hub, tmp_path, "api.merge_pull_request('lab/set', 1, repo_type='dataset')") == "HfHubHTTPError 409"


def test_an_empty_pull_request_takes_later_commits(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a.txt": b"a"})
    code = (
        "pull = api.create_pull_request('lab/set', 'My change', repo_type='dataset')\n"
        "api.upload_file(path_or_fileobj=b'x', path_in_repo='x.txt', repo_id='lab/set', repo_type='dataset', revision=pull.git_reference)"
    )
    run(hub, tmp_path, code)
    assert hub.repository("lab/set").read("x.txt", "refs/pr/1") == b"x"


def test_a_broken_download_is_resumed(hub: HubServer, tmp_path: Path) -> None:
    data = DATA * 210  # 21 MB: the client keeps what has arrived in pieces of 10 MiB
    hub.put("lab/set", {"big.bin": data})
    hub.cut("big.bin", after=15_000_000)
    path = run(hub, tmp_path, "print(hf_hub_download('lab/set', 'big.bin', repo_type='dataset'))")
    assert Path(path).read_bytes() == data
    assert [each.headers["range"] for each in hub.seen("GET") if "range" in each.headers] == ["bytes=10485760-"]
    assert hub.requests[-1].status == 206


def test_a_broken_download_of_a_small_file_is_repeated(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"small.txt": b"0123456789" * 500})
    hub.cut("small.txt", after=2000)
    path = run(hub, tmp_path, "print(hf_hub_download('lab/set', 'small.txt', repo_type='dataset'))")
    assert Path(path).read_bytes() == b"0123456789" * 500
    assert len(hub.seen("GET", "/resolve/")) == 2


def test_a_token_is_not_sent_to_where_large_files_lie(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"big.bin": DATA})
    run(hub, tmp_path, "hf_hub_download('lab/set', 'big.bin', repo_type='dataset')")
    assert hub.seen("GET", "/storage/")
    assert not any("authorization" in each.headers for each in hub.seen("GET", "/storage/"))


def test_a_revision_is_pinned_by_its_hash(hub: HubServer, tmp_path: Path) -> None:
    first = hub.put("lab/set", {"a.txt": b"one"})
    hub.put("lab/set", {"a.txt": b"two"})
    code = "print(open(hf_hub_download('lab/set', 'a.txt', repo_type='dataset', revision=sys.argv[1])).read())"
    assert run(hub, tmp_path, code, first) == "one"
    assert run(hub, tmp_path, code, "main") == "two"


def test_a_snapshot_takes_the_files_asked_for(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a/1.txt": b"1", "b/2.txt": b"2", "b/c/3.bin": DATA})
    code = "print(snapshot_download('lab/set', repo_type='dataset', allow_patterns=['b/*']))"
    folder = Path(run(hub, tmp_path, code))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "b/2.txt",
        "b/c/3.bin",
    ]
    before = len(hub.requests)
    run(hub, tmp_path, code)
    again = [each.path for each in hub.requests[before:] if "lab/set" in each.path]
    assert again == ["/api/datasets/lab/set/revision/main"]


def test_offline_nothing_is_asked(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a.txt": b"a"})
    code = "print(open(snapshot_download('lab/set', repo_type='dataset') + '/a.txt').read())"
    run(hub, tmp_path, code)
    before = len(hub.requests)
    assert run(hub, tmp_path, code, HF_HUB_OFFLINE="1") == "a"
    assert len(hub.requests) == before


def test_folders_and_facts_are_listed(hub: HubServer, tmp_path: Path) -> None:
    oid = hub.put("lab/set", {"a/1.txt": b"1", "b.bin": DATA})
    code = (
        "tree = list(api.list_repo_tree('lab/set', repo_type='dataset'))\n"
        "facts = {'tree': sorted(each.path for each in tree), 'sha': api.repo_info('lab/set', repo_type='dataset').sha,"
        " 'lfs': [each.lfs.sha256 for each in tree if getattr(each, 'lfs', None)],"
        " 'paths': [each.path for each in api.get_paths_info('lab/set', ['a', 'b.bin', 'c'], repo_type='dataset')],"
        " 'titles': [each.title for each in api.list_repo_commits('lab/set', repo_type='dataset')],"
        " 'branches': [each.name for each in api.list_repo_refs('lab/set', repo_type='dataset').branches]}\n"
        "print(json.dumps(facts))"
    )
    facts = json.loads(run(hub, tmp_path, code))
    assert facts == {
        "tree": [".gitattributes", "a", "b.bin"],
        "sha": oid,
        "lfs": [hashlib.sha256(DATA).hexdigest()],
        "paths": ["a", "b.bin"],
        "titles": ["Add files", "initial commit"],
        "branches": ["main"],
    }


DOWNLOAD = "hf_hub_download('lab/set', 'a.txt', repo_type='dataset')"


@pytest.mark.parametrize(
    ("call", "token", "error"),
    [
        ("hf_hub_download('lab/set', 'none.txt', repo_type='dataset')", "hf_writer", "RemoteEntryNotFoundError 404"),
        ("hf_hub_download('lab/none', 'a.txt', repo_type='dataset')", "hf_writer", "RepositoryNotFoundError 404"),
        (
            "snapshot_download('lab/set', repo_type='dataset', revision='none')",
            "hf_writer",
            "RevisionNotFoundError 404",
        ),
        ("api.whoami()", "hf_nobody", "HfHubHTTPError 401"),
        ("api.repo_info('lab/gated', repo_type='dataset')", "hf_reader", "GatedRepoError 403"),
        ("api.repo_info('lab/gated', repo_type='dataset')", None, "GatedRepoError 401"),
        ("api.repo_info('lab/secret', repo_type='dataset')", "hf_reader", "RepositoryNotFoundError 404"),
        ("api.repo_info('lab/secret', repo_type='dataset')", None, "RepositoryNotFoundError 401"),
        ("create_repo('lab/other', repo_type='dataset')", "hf_reader", "HfHubHTTPError 403"),
        (
            "api.upload_file(path_or_fileobj=b'x', path_in_repo='x', repo_id='lab/set', repo_type='dataset')",
            "hf_reader",
            "HfHubHTTPError 403",
        ),
    ],
)
def test_refusals_raise_what_the_hub_raises(
    hub: HubServer, tmp_path: Path, call: str, token: str | None, error: str
) -> None:
    hub.put("lab/set", {"a.txt": b"a"})
    hub.create("lab/gated", gated=True)
    hub.create("lab/secret", private=True)
    assert error_of(hub, tmp_path, call, token=token) == error


def test_gated_repositories_open_to_those_who_were_let_in(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/gated", {"a.txt": b"a"})
    hub.repository("lab/gated").gated = True
    hub.repository("lab/gated").readers.add("bob")
    code = "print(open(hf_hub_download('lab/gated', 'a.txt', repo_type='dataset')).read())"
    assert run(hub, tmp_path, code, token="hf_reader") == "a"


def test_models_are_served_beside_data_sets(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/net", {"model.safetensors": DATA}, kind="model")
    path = run(hub, tmp_path, "print(hf_hub_download('lab/net', 'model.safetensors'))")
    assert Path(path).read_bytes() == DATA


def test_a_busy_server_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.put("lab/set", {"a.txt": b"a"})
    hub.refuse("/preupload/main", 503)
    run(
        hub, tmp_path, "api.upload_file(path_or_fileobj=b'x', path_in_repo='x', repo_id='lab/set', repo_type='dataset')"
    )
    assert [each.status for each in hub.seen("POST", "/preupload/")] == [503, 200]
    assert hub.repository("lab/set").read("x") == b"x"


def test_load_dataset_reads_a_config_of_the_card(hub: HubServer, tmp_path: Path) -> None:
    card = "---\nconfigs:\n- config_name: first\n  data_files: data/first-*.csv\n- config_name: second\n  data_files: data/second-*.csv\n---\n"
    hub.put("lab/set", {"README.md": card.encode(), "data/first-0.csv": b"a,b\n1,2\n", "data/second-0.csv": b"c\n3\n"})
    code = (
        "import datasets\n"
        "one, two = (datasets.load_dataset('lab/set', name, split='train') for name in ('first', 'second'))\n"
        "print(one[0], two[0])"
    )
    assert run(hub, tmp_path, code) == "{'a': 1, 'b': 2} {'c': 3}"
