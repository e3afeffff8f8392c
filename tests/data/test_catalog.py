"""Benchmarks by name and by path, and the files they rest on."""

import hashlib
import re

import pytest

from harness.data import catalog
from harness.data.catalog import benchmark_files, cache_folder, find_protocol, load_protocol
from harness.spec.artefact import Artefact
from harness.spec.errors import UsageError
from harness.storage import IntegrityError

BENCHMARK = """
id = "toy"
version = 1
title = "A toy"
task = "confidence"
metrics = ["augrc"]
studies = [{ id = "iid", kind = "iid", samples = "test", group = "iid" }]

[source]
kind = "table"
holds = "probabilities"
values = "p"
models = [{ id = "only", table = { path = "table.npz" } }]
sets = { test = { rows = [0, 60] } }
"""


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A tree with benchmarks and data sets of its own in the place of the bundled one."""
    monkeypatch.setattr(catalog, "bundled_folder", lambda name: tmp_path / name)
    for version in (1, 2, 10):
        place(
            tmp_path / "leaderboards" / "toy" / str(version), BENCHMARK.replace("version = 1", f"version = {version}")
        )
    place(tmp_path / "leaderboards" / "other" / "1", BENCHMARK.replace('"toy"', '"other"'))
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def place(folder, text, name="benchmark.toml"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def refused(call, sentence, kind=UsageError):
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        call()
    assert "\n" not in str(raised.value)


# by name ------------------------------------------------------------------------------------------


def test_without_a_version_the_newest_by_number(bundled):
    assert find_protocol("toy").benchmark.name == "toy@10"
    assert find_protocol("toy@2").benchmark.version == 2
    assert list(benchmark_files()) == ["other@1", "toy@1", "toy@10", "toy@2"]


def test_a_folder_that_is_no_version_is_passed_over(bundled):
    place(bundled / "leaderboards" / "toy" / "draft", "nonsense")
    assert find_protocol("toy").benchmark.version == 10


def test_unknown_names_come_with_the_nearest(bundled):
    refused(lambda: find_protocol("toi"), "no benchmark is called 'toi'; did you mean toy?")
    refused(lambda: find_protocol("toy@3"), "no benchmark is called 'toy@3'; did you mean toy@")
    refused(lambda: find_protocol("toy@newest"), "A benchmark of your own is a path that ends in .toml.")
    refused(lambda: find_protocol("zzz"), "there are: other, toy.")


def test_the_bundled_benchmarks_are_what_their_folders_say():
    for name, path in benchmark_files().items():
        assert load_protocol(path).benchmark.name == name


# by path ------------------------------------------------------------------------------------------


def test_a_path_is_read_wherever_it_lies(tmp_path, monkeypatch):
    path = place(tmp_path / "mine", BENCHMARK, "b.toml")
    monkeypatch.chdir(tmp_path)
    found, again = find_protocol("mine/b.toml"), find_protocol(str(path))
    assert found.benchmark == again.benchmark
    assert found.hash == again.hash


def test_the_hash_is_of_the_meaning_not_of_the_text(tmp_path):
    one = load_protocol(place(tmp_path, BENCHMARK, "a.toml"))
    same = load_protocol(place(tmp_path, "# a remark\n" + BENCHMARK.replace(" = ", "="), "b.toml"))
    other = load_protocol(place(tmp_path, BENCHMARK.replace("60", "61"), "c.toml"))
    assert one.hash == same.hash != other.hash


def test_no_such_file_names_the_nearest(tmp_path):
    place(tmp_path, BENCHMARK, "mine.toml")
    refused(lambda: find_protocol(f"{tmp_path}/mien.toml"), f"did you mean {tmp_path}/mine.toml?")
    refused(lambda: find_protocol(f"{tmp_path}/no/mine.toml"), "no/mine.toml does not exist; name one that")


def test_bad_toml_names_its_line(tmp_path):
    path = place(tmp_path, 'id = "x"\nversion = 1\ntitle = oops\n')
    refused(lambda: load_protocol(path), f"{path} is not valid TOML: ")
    refused(lambda: load_protocol(path), "at line 3")


def test_text_in_another_encoding(tmp_path):
    path = tmp_path / "b.toml"
    path.write_bytes('title = "für"'.encode("latin-1"))
    refused(lambda: load_protocol(path), "is not valid TOML: 'utf-8' codec can't decode")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("title =", "titel =", "titel: nothing is called so here; did you mean title?"),
        (
            "version = 1",
            'version = 1\ncolour = "red"',
            "colour: nothing is called so here; correct the name, or remove it.",
        ),
        ("version = 1", "version = 0", "version: it must be at least 1, not 0."),
        (
            'kind = "table"',
            'kind = "tabel"',
            "source: its 'kind' must be one of 'images', 'fd-shifts', 'fd-shifts-study', 'table', 'results', 'pack', 'released', 'predictions', not 'tabel'",
        ),
        (
            'holds = "probabilities"',
            'holds = "odds"',
            "source.holds: it must be 'logits' or 'probabilities'",
        ),
        ("rows = [0, 60]", "rows = [60, 60]", "source.sets.test: rows = [60, 60] is empty"),
        (
            'samples = "test"',
            'samples = "tset"',
            "study iid uses the sample set 'tset', but only these are defined: test",
        ),
    ],
)
def test_a_field_to_mend_is_named(tmp_path, old, new, sentence):
    path = place(tmp_path, BENCHMARK.replace(old, new))
    refused(lambda: load_protocol(path), f"{path}: ")
    refused(lambda: load_protocol(path), sentence)


# artefacts ----------------------------------------------------------------------------------------


def test_files_are_looked_up_beside_the_benchmark_then_among_the_data_sets(bundled, tmp_path):
    protocol = load_protocol(place(tmp_path / "mine", BENCHMARK, "b.toml"))
    place(bundled / "datasets" / "shared", "bundled", "table.npz")
    assert protocol.locate("shared/table.npz") == bundled / "datasets" / "shared" / "table.npz"
    beside = place(tmp_path / "mine" / "shared", "beside", "table.npz")
    assert protocol.locate("shared/table.npz") == beside
    assert protocol.locate(str(beside)) == beside
    prepared = place(bundled / "cache" / "data" / "prepared" / "shared", "prepared", "other.npz")
    assert protocol.locate("shared/other.npz") == prepared
    place(bundled / "cache" / "data" / "prepared" / "shared", "prepared", "table.npz")
    assert protocol.locate("shared/table.npz") == beside, "what lies beside comes first"
    assert protocol.locate("nowhere.npz") == tmp_path / "mine" / "nowhere.npz", "for a sentence that names it"


def test_an_artefact_is_verified_by_what_is_in_it(tmp_path):
    protocol = load_protocol(place(tmp_path, BENCHMARK))
    path = place(tmp_path, "content", "table.npz")
    digest = hashlib.sha256(b"content").hexdigest()
    for pinned in (digest, None):
        assert protocol.verified(Artefact(path="table.npz", sha256=pinned)) == (path, digest)
    path.write_text("content!")
    sentence = f"{path} is not the file that toy@1 was made with"
    refused(lambda: protocol.verified(Artefact(path="table.npz", sha256=digest)), sentence, IntegrityError)
    path.unlink()
    sentence = f"{protocol.path}: there is no file table.npz beside it; "
    refused(lambda: protocol.verified(Artefact(path="table.npz")), sentence)


def test_the_cache_goes_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("HARNESS_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "harness"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
