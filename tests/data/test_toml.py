"""TOML files that say only how they differ from another one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.data.catalog import benchmark_files, load_protocol
from harness.data.manifests import load_manifest
from harness.data.toml import read_extended, read_toml
from harness.spec.errors import UsageError
from tests.data.test_catalog import BENCHMARK
from tests.data.test_manifests import MANIFEST


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def extended(folder: Path, base: str, own: str) -> dict[str, Any]:
    write(folder / "base.toml", base)
    return read_extended(write(folder / "own.toml", f'extends = "base.toml"\n{own}'))


@pytest.mark.parametrize(
    ("base", "own", "result"),
    [
        ("a = 1\nb = 2", "b = 3\nc = 4", {"a": 1, "b": 3, "c": 4}),
        ("[t]\na = 1\nu = {x = 1, y = 2}", "[t]\nu.y = 3", {"t": {"a": 1, "u": {"x": 1, "y": 3}}}),
        ("[t]\nkind = 'a'\nx = 1", "[t]\nkind = 'b'", {"t": {"kind": "b"}}),
        ("[t]\nkind = 'a'\nx = 1", "[t]\ny = 1", {"t": {"kind": "a", "x": 1, "y": 1}}),
        ("list = [1, 2]", "list = [3]", {"list": [3]}),
        (
            "e = [{id = 'a', x = 1, t = {p = 1, q = 2}}, {id = 'b', x = 2}]",
            "e = [{id = 'c'}, {id = 'a', t = {p = 3}}]",
            {"e": [{"id": "a", "x": 1, "t": {"p": 3}}, {"id": "b", "x": 2}, {"id": "c"}]},
        ),
        (
            "e = [{id = 'a'}, {id = 'b'}]",
            "e = [{id = 'a', omit = true}, {id = 'c'}]",
            {"e": [{"id": "b"}, {"id": "c"}]},
        ),
        ("e = [{id = 'a'}]", "e = [{id = 'b', omit = true}]", {"e": [{"id": "a"}, {"id": "b", "omit": True}]}),
        ("e = [{path = 'a', x = 1}]", "e = [{path = 'a', x = 2}]", {"e": [{"path": "a", "x": 2}]}),
        ("e = [{do = 'a'}]", "e = [{do = 'b'}]", {"e": [{"do": "b"}]}),
        ("e = [{id = 'a'}]", "e = []", {"e": []}),
        ("a = 1\nstatus = 'withdrawn'\nreason = 'r'\nsuccessor = 'x@2'", "", {"a": 1}),
    ],
)
def test_what_is_merged_and_what_is_replaced(tmp_path: Path, base: str, own: str, result: dict[str, Any]) -> None:
    assert extended(tmp_path, base, own) == result


def test_a_base_may_extend_another(tmp_path: Path) -> None:
    write(tmp_path / "x" / "1" / "a.toml", "a = 1\nb = 1\nc = 1")
    write(tmp_path / "x" / "2" / "a.toml", 'extends = "../1/a.toml"\nb = 2\nc = 2')
    last = write(tmp_path / "x" / "3" / "a.toml", 'extends = "../2/a.toml"\nc = 3')
    assert read_extended(last) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("extends", "sentence"),
    [
        ("3", "extends: it must be the path of a TOML file"),
        ('"../1"', "extends: it must be the path of a TOML file"),
        ('"none.toml"', "none.toml; correct the path."),
        ('"../../b.toml"', "extends: ../../b.toml lies outside of "),
        ('"/etc/b.toml"', "extends: /etc/b.toml lies outside of "),
        ('"link.toml"', "extends: link.toml lies outside of "),
        ('"a.toml"', "extends: a.toml itself extends a.toml"),
        ('"again.toml"', "extends: a.toml itself extends again.toml"),
        ('"broken.toml"', "broken.toml is not valid TOML"),
    ],
)
def test_a_base_that_cannot_be_taken_is_said_in_a_sentence(tmp_path: Path, extends: str, sentence: str) -> None:
    folder = tmp_path / "id" / "1"
    for name in ("b.toml", "id/1/none.md"):
        write(tmp_path / name, "")
    write(folder / "again.toml", 'extends = "a.toml"')
    write(folder / "broken.toml", "= 1")
    (folder / "link.toml").symlink_to(tmp_path / "b.toml")
    with pytest.raises(UsageError, match=re.escape(sentence)) as raised:
        read_extended(write(folder / "a.toml", f"extends = {extends}\n"))
    assert "\n" not in str(raised.value)


def test_the_hash_of_a_benchmark_is_that_of_what_it_resolves_to(tmp_path: Path) -> None:
    base = write(tmp_path / "toy/1/benchmark.toml", BENCHMARK)
    own = write(tmp_path / "toy/2/benchmark.toml", 'extends = "../1/benchmark.toml"\nversion = 2\n')
    whole = write(tmp_path / "whole.toml", BENCHMARK.replace("version = 1", "version = 2"))
    before = load_protocol(own).hash
    assert before == load_protocol(whole).hash != load_protocol(base).hash
    base.write_text(BENCHMARK.replace("[0, 60]", "[0, 61]"))
    assert load_protocol(own).hash != before, "a change of the base is a change of what extends it"
    base.write_text(BENCHMARK.replace("version = 1", 'version = 1\nstatus = "deprecated"\nsuccessor = "toy@2"'))
    assert load_protocol(own).hash == before
    assert load_protocol(own).benchmark.status == "open", "the end of a version ends no other"


def test_a_manifest_may_extend_that_of_another_set(tmp_path: Path) -> None:
    write(tmp_path / "mine/source.toml", MANIFEST)
    own = write(
        tmp_path / "small/source.toml",
        'extends = "../mine/source.toml"\nid = "small"\nfiles = [{ path = "a.bin", bytes = 3 }]\n',
    )
    first, second = load_manifest(own).spec.files
    assert (first.bytes, first.origin, second.path) == (
        3,
        load_manifest(tmp_path / "mine/source.toml").spec.files[0].origin,
        "b/c.parquet",
    )


def test_both_readings_of_latec_share_all_but_their_metrics() -> None:
    one, two = (load_protocol(benchmark_files()[f"attribution-latec@{version}"]).benchmark for version in (3, 2))
    differing = {name for name, value in one.canonical().items() if two.canonical()[name] != value}
    assert differing == {"version", "title", "description", "maps", "reference", "metrics"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = inf", "a: it must be a finite number, not inf"),
        ("[[b]]\nc = 1\n[[b]]\nc = [1.0, nan]", "b.1.c.1: it must be a finite number, not nan"),
        ("b = { c = -inf }", "b.c: it must be a finite number, not -inf"),
        ("a = " + "1" * 5000, "is not valid TOML"),
        ('a = "\udcff"', "is not valid TOML"),
    ],
)
def test_numbers_that_no_file_means(tmp_path, text, said):
    path = tmp_path / "file.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=said) as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a." * 600_000 + "a = 1", "has more than 1,000 kB; a file of its kind needs less"),
        (".".join("a" * 17) + " = 1", "nests tables or lists more than 16 times; write it flatter"),
        ("a = " + "[" * 16 + "]" * 16, "nests tables or lists more than 16 times; write it flatter"),
    ],
)
def test_what_hostile_files_hold_is_bounded(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        read_toml(write(tmp_path / "own.toml", text))


def test_sixteen_tables_in_one_another_are_fine(tmp_path: Path) -> None:
    assert read_toml(write(tmp_path / "own.toml", ".".join("a" * 16) + " = 1"))
