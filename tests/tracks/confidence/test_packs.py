"""Inference packs: the same scores to the last bit as where they come from, and no damaged file is believed."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import tomli_w
import torch
from pyarrow import parquet

from harness.data.catalog import load_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import find_dataset
from harness.data.packs import open_pack
from harness.data.toml import read_toml
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, StorageError, file_id, read_tensors, write_json, write_tensors
from harness.tracks.confidence import packs
from harness.tracks.confidence.packing import PackRequest, write_pack
from harness.tracks.confidence.sources import open_source
from tests.methods.support import write
from tests.tracks.confidence import packed

pytestmark = pytest.mark.usefixtures("in_this_process")

NEEDY = """
@confidence_score(version="1", needs=("inputs", "model"))
def needy(outputs):
    return outputs.model(outputs.inputs).amax(dim=1) + outputs.inputs.flatten(1).mean(dim=1)
"""
MADE = {"images": packed.images, "folders": packed.folders, "table": packed.table}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """kind -> protocol and its pack, made once."""
    root = tmp_path_factory.mktemp("packs")
    before = os.environ.get("HARNESS_CACHE")
    os.environ["HARNESS_CACHE"] = str(root / "cache")
    torch.set_num_threads(1)
    found = {}
    for kind, make in MADE.items():
        (root / kind).mkdir()
        protocol = make(root / kind)
        write_pack(protocol, PackRequest(root / kind / "pack"))
        found[kind] = (protocol, root / kind / "pack")
    write_pack(found["images"][0], PackRequest(root / "images" / "full", inputs=True))
    yield found
    os.environ.pop("HARNESS_CACHE")
    if before is not None:
        os.environ["HARNESS_CACHE"] = before


def benchmark(folder):
    return load_protocol(folder / "benchmark.toml")


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *(("images", method) for method in ("msr", "mcd-msr", "mahalanobis", "confidnet", "devries")),
        *(("folders", method) for method in ("msr", "mcd-pe", "mahalanobis", "vim", "energy")),
        ("table", "msr"),
        ("table", "mls"),
    ],
)
def test_scores_on_a_pack_are_those_of_its_source_to_the_last_bit(made, tmp_path, kind, method):
    protocol, folder = made[kind]
    here = packed.answers(protocol, method, tmp_path)
    assert here
    assert packed.answers(benchmark(folder), method, tmp_path) == here


def test_every_array_keeps_its_precision(made):
    for protocol, folder in made.values():
        source, pack = open_source(protocol, "cpu"), open_source(benchmark(folder), "cpu")
        for model in protocol.benchmark.source.models:
            for name in protocol.benchmark.source.set_names:
                here, there = source.samples(model, name), pack.samples(model, name)
                assert here.arrays.keys() == there.arrays.keys()
                for key, array in {**here.arrays, "labels": here.labels}.items():
                    other = {**there.arrays, "labels": there.labels}[key]
                    assert (array.dtype, array.tobytes()) == (other.dtype, other.tobytes())
            for key, array in source.shared(model).items():
                assert array.tobytes() == pack.shared(model)[key].tobytes()


def test_what_a_pack_does_not_hold_makes_a_method_not_applicable(made, tmp_path):
    protocol, folder = made["images"]
    method = write(tmp_path, NEEDY)
    statuses = packed.answers(benchmark(folder), method, tmp_path).values()
    assert {status for status, _ in statuses} == {"not-applicable"}
    (reason,) = {reason for _, reason in statuses}
    assert reason == (
        "the inference pack holds outputs, not the networks; make it with --inputs, or take the benchmark that it was made of"
    )
    only_inputs = write(
        tmp_path,
        NEEDY.replace('"inputs", "model"', '"inputs",').replace("outputs.model(outputs.inputs)", "outputs.inputs"),
    )
    (reason,) = {reason for _, reason in packed.answers(benchmark(folder), only_inputs, tmp_path).values()}
    assert reason.startswith("the inference pack holds outputs, not the inputs; make it with --inputs")
    here = packed.answers(protocol, method, tmp_path)
    assert packed.answers(benchmark(folder.with_name("full")), method, tmp_path) == here
    assert "ok" not in here


def test_stored_outputs_say_why_they_come_without_inputs(made, tmp_path):
    method = write(tmp_path, NEEDY)
    (answer,) = set(packed.answers(made["table"][0], method, tmp_path).values())
    assert answer == ("not-applicable", "this benchmark's source is stored outputs, which come without the network")


def test_the_same_outputs_give_the_same_bytes(made, tmp_path):
    for kind in ("folders", "table"):
        protocol, folder = made[kind]
        write_pack(protocol, PackRequest(tmp_path / kind))
        ours, theirs = (
            {path.relative_to(root): file_id(path) for path in root.rglob("*") if path.is_file()}
            for root in (folder, tmp_path / kind)
        )
        assert ours == theirs


def test_a_pack_of_a_pack_is_the_same_pack(made, tmp_path):
    folder = made["images"][1]
    write_pack(benchmark(folder), PackRequest(tmp_path / "again"))
    first, again = open_pack(folder).document, open_pack(tmp_path / "again").document
    assert {path: first.files[path] for path in first.files if "index" not in path} == {
        path: again.files[path] for path in again.files if "index" not in path
    }
    columns = ["set", "row", "model", "sample", "label", "studies"]
    ours, theirs = (parquet.read_table(root / "outputs/index.parquet") for root in (folder, tmp_path / "again"))
    assert ours.select(columns).equals(theirs.select(columns))


def test_the_index_has_ids_labels_and_studies(made):
    protocol, folder = made["images"]
    rows = parquet.read_table(folder / "outputs" / "index.parquet").to_pylist()
    assert len(rows) == 3 * 150 + 40
    assert all(row["model"] == "" for row in rows), "all networks saw the same images"
    assert {row["studies"] for row in rows if row["set"] == "iid"} == {"iid,photos"}
    assert {row["studies"] for row in rows if row["set"] == "train"} == {""}
    assert [row["row"] for row in rows if row["set"] == "iid"] == list(range(150))
    ids = [row["sample"] for row in rows if row["set"] != "photos"]
    assert len(set(ids)) == len(ids), "no image is in two of these sets"
    assert all(row["sample"].startswith("mnist-5k/") for row in rows if row["set"] != "photos")
    labels = open_source(protocol, "cpu").samples(protocol.benchmark.source.models[0], "iid").labels
    assert [row["label"] for row in rows if row["set"] == "iid"] == labels.tolist()


def test_models_that_saw_other_samples_have_rows_of_their_own(made):
    rows = parquet.read_table(made["folders"][1] / "outputs" / "index.parquet").to_pylist()
    assert {row["model"] for row in rows} == {"", "two"}
    of_two = open_pack(made["folders"][1]).outputs("two", "iid")[1]
    assert [row["label"] for row in rows if (row["model"], row["set"]) == ("two", "iid")] == of_two.tolist()


def test_what_a_pack_says_of_itself(made):
    protocol, folder = made["images"]
    document = open_pack(folder).document
    assert (document.benchmark, document.benchmark_hash) == ("small-images@1", protocol.hash)
    assert (document.licence, document.citation) == ("CC0", ("Someone 2026, A work",))
    assert {"harness", "torch", "numpy"} <= document.made_with.keys()
    assert document.samples["plain-0"] == {"train": 150, "validation": 150, "iid": 150, "photos": 40}
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: ")
    for words in ("CC0", "Someone 2026, A work", protocol.hash, "| devries-0 | 4 | 490 |"):
        assert words in card
    open_pack(folder).verify()


def test_pinned_outcomes_go_with_the_pack(made, tmp_path):
    """They rule over the predictions of the outputs, as on the benchmark itself."""
    from harness.storage import write_arrays
    from harness.tracks.confidence.freeze import outcomes_of

    source = made["table"][0].path.parent
    for name in ("benchmark.toml", "table.npz"):
        shutil.copy(source / name, tmp_path / name)
    outcomes = outcomes_of(load_protocol(tmp_path / "benchmark.toml"))
    outcomes["one--iid--point"][0] = (outcomes["one--iid--point"][0] + 1) % 4
    write_arrays(tmp_path / "outcomes.npz", outcomes)
    text = f'outcomes = {{ path = "outcomes.npz", sha256 = "{file_id(tmp_path / "outcomes.npz")}" }}\n'
    (tmp_path / "benchmark.toml").write_text(text + (tmp_path / "benchmark.toml").read_text())
    protocol = load_protocol(tmp_path / "benchmark.toml")
    write_pack(protocol, PackRequest(tmp_path / "pack"))
    pinned = packed.answers(protocol, "msr", tmp_path)
    assert packed.answers(benchmark(tmp_path / "pack"), "msr", tmp_path) == pinned
    assert packed.answers(made["table"][0], "msr", tmp_path) != pinned


def test_the_labels_of_a_pack_are_closed_to_methods(made):
    folder = made["images"][1]
    assert os.path.realpath(folder / "outputs") in map(os.path.realpath, benchmark(folder).private_folders())
    holders = [path for path in folder.rglob("*.safetensors") if "labels" in read_tensors(path)]
    assert holders
    assert all(path.is_relative_to(folder / "outputs") for path in holders)


# what is refused ----------------------------------------------------------------------------------


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made["table"][1], tmp_path / "pack")
    return tmp_path / "pack"


FILE = "outputs/one/iid.safetensors"


def refused(folder, scratch, sentence, kind=IntegrityError):
    with pytest.raises(kind, match=re.escape(sentence)):
        packed.answers(benchmark(folder), "msr", scratch)


def repinned(folder, **changes):
    """A pack whose hashes fit what is in it: only its content can give it away."""
    document = json.loads((folder / "pack.json").read_text())
    document["files"][FILE] = {"sha256": file_id(folder / FILE), "bytes": (folder / FILE).stat().st_size}
    old = file_id(folder / "pack.json")
    write_json(folder / "pack.json", document | changes)
    text = (folder / "benchmark.toml").read_text()
    (folder / "benchmark.toml").write_text(text.replace(old, file_id(folder / "pack.json")))


def test_a_changed_file(copy, tmp_path):
    data = bytearray((copy / FILE).read_bytes())
    data[-1] ^= 1
    (copy / FILE).write_bytes(data)
    refused(copy, tmp_path, f"{FILE} is not the file that pack.json lists; fetch or make the pack again.")
    with pytest.raises(IntegrityError):
        open_pack(copy).verify()


def test_a_file_that_changes_between_two_reads(copy):
    pack = open_pack(copy)
    pack.outputs("one", "iid")
    arrays = read_tensors(copy / FILE)
    write_tensors(copy / FILE, {name: array[::-1].copy() for name, array in arrays.items()})
    with pytest.raises(IntegrityError, match="is not the file that"):
        pack.verify()


def test_a_missing_file(copy, tmp_path):
    (copy / FILE).unlink()
    refused(copy, tmp_path, f"{FILE} is missing, but pack.json lists it")


def test_a_changed_document(copy, tmp_path):
    document = json.loads((copy / "pack.json").read_text())
    write_json(copy / "pack.json", document | {"title": "Another"})
    refused(copy, tmp_path, "is not the file that small-table-pack@1 was made with")


def test_no_document(copy, tmp_path):
    (copy / "pack.json").unlink()
    refused(copy, tmp_path, "there is no file pack.json beside it", UsageError)
    with pytest.raises(UsageError, match=r"`harness data pack` makes a folder with a pack\.json"):
        open_pack(copy)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a | {"labels": a["labels"][:-1]}, "labels has shape (199,), but one has 200 samples of iid"),
        (lambda a: a | {"probabilities": a["probabilities"][:5]}, "probabilities has shape (5, 4), but one has 200"),
        (lambda a: a | {"mc_logits": np.zeros((200, 3, 4))}, "mc_logits has shape (200, 3, 4), but one has 200"),
        (lambda a: {"labels": a["labels"]}, "holds labels: no outputs with labels"),
        (lambda a: {"probabilities": a["probabilities"]}, "holds probabilities: no outputs with labels"),
    ],
)
def test_arrays_that_do_not_fit_together(copy, tmp_path, change, sentence):
    write_tensors(copy / FILE, change(read_tensors(copy / FILE)))
    repinned(copy)
    refused(copy, tmp_path, sentence)


def test_a_file_of_something_else(copy, tmp_path):
    (copy / FILE).write_bytes(b"<html>not found</html>")
    repinned(copy)
    refused(copy, tmp_path, "is not a valid file of tensors")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples": {"one": {}}}, "a pack holds no file 'outputs/one/iid.safetensors'"),
        ({"samples": {}}, "`samples` and `models` name different models"),
        ({"samples": {"one": {"iid": 200, "other": 3}}}, "the outputs of one on other are not among the files"),
        ({"files": {}}, "the outputs of one on iid are not among the files"),
        ({"kind": "other"}, "kind: it must be 'inference-pack', not 'other'"),
        ({"models": [{"id": "one", "seed": 3}]}, "one is packed with family default, seed 3 and head None"),
    ],
)
def test_a_document_that_does_not_fit(copy, tmp_path, changes, sentence):
    repinned(copy, **changes)
    refused(copy, tmp_path, sentence)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "outputs/one/../../x.safetensors", "run.py"])
def test_files_outside_of_their_places(copy, tmp_path, path):
    document = json.loads((copy / "pack.json").read_text())
    repinned(copy, files=document["files"] | {path: {"sha256": "0" * 64, "bytes": 1}})
    refused(copy, tmp_path, f"a pack holds no file {path!r}")


def test_a_benchmark_that_asks_for_what_is_not_packed(copy, tmp_path):
    text = (copy / "benchmark.toml").read_text()
    (copy / "benchmark.toml").write_text(text.replace('id = "one"', 'id = "two"'))
    refused(copy, tmp_path, "no model in", UsageError)
    (copy / "benchmark.toml").write_text(
        text.replace('samples = "iid"', 'samples = "ood"').replace('    "iid",\n]', '    "ood",\n]')
    )
    refused(copy, tmp_path, "no set of one in", UsageError)


# making one ---------------------------------------------------------------------------------------


def test_only_some_models(made, tmp_path):
    document = write_pack(made["folders"][0], PackRequest(tmp_path / "one", models=("two",)))
    assert [model.id for model in document.models] == ["two"]
    everything = packed.answers(made["folders"][0], "msr", tmp_path)
    found = packed.answers(benchmark(tmp_path / "one"), "msr", tmp_path)
    assert found == {key: answer for key, answer in everything.items() if key[0] == "two"}
    with pytest.raises(UsageError, match="no model of the family plain is named"):
        write_pack(made["images"][0], PackRequest(tmp_path / "two", models=("devries-0",)))
    with pytest.raises(UsageError, match="did you mean plain-0"):
        write_pack(made["images"][0], PackRequest(tmp_path / "two", models=("plain-7",)))


def test_folders_that_hold_something_else(made, tmp_path):
    protocol = made["table"][0]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.tex is no part of this pack; name another folder"):
        write_pack(protocol, PackRequest(tmp_path / "own"))
    assert (tmp_path / "own" / "thesis.tex").read_text() == "mine"
    with pytest.raises(UsageError, match="is a file; name a folder"):
        write_pack(protocol, PackRequest(tmp_path / "own" / "thesis.tex"))
    with pytest.raises(UsageError, match="holds a pack of small-images@1"):
        write_pack(protocol, PackRequest(made["images"][1]))


def test_files_of_a_larger_pack_would_be_taken_for_parts_of_a_smaller_one(made, tmp_path):
    protocol = made["folders"][0]
    write_pack(protocol, PackRequest(tmp_path / "pack"))
    with pytest.raises(UsageError, match=r"one\.safetensors is no part of this pack"):
        write_pack(protocol, PackRequest(tmp_path / "pack", models=("two",)))
    write_pack(protocol, PackRequest(tmp_path / "pack"))


def test_what_a_killed_writer_left_is_removed(made, tmp_path):
    protocol, whole = made["table"]
    (tmp_path / "pack" / "outputs").mkdir(parents=True)
    left = [tmp_path / "pack" / folder / ".harness-0123456789abcdef.tmp" for folder in ("", "outputs")]
    for path in left:
        path.write_bytes(b"half")
    assert write_pack(protocol, PackRequest(tmp_path / "pack")) == open_pack(whole).document
    assert not any(path.exists() for path in left)


def test_an_interrupted_pack_is_none_and_is_finished_by_the_same_call(made, tmp_path, monkeypatch):
    protocol, whole = made["folders"]
    from harness.tracks.confidence import packing

    written = []

    def full(path, arrays):
        if len(written) == 3:
            raise StorageError("no space left")
        written.append(path)
        write_tensors(path, arrays)

    monkeypatch.setattr(packing, "write_tensors", full)
    with pytest.raises(StorageError):
        write_pack(protocol, PackRequest(tmp_path / "pack"))
    with pytest.raises(UsageError):
        open_pack(tmp_path / "pack")
    monkeypatch.undo()
    assert write_pack(protocol, PackRequest(tmp_path / "pack")) == open_pack(whole).document


def test_one_set_at_a_time_is_in_memory(made, tmp_path, monkeypatch):
    """Every file is written before the next outputs are asked for."""
    from harness.tracks.confidence import packing

    protocol, happened = made["folders"][0], []
    source = open_source(protocol, "cpu")

    class Watched:
        def __getattr__(self, name):
            return getattr(source, name)

        def samples(self, model, name):
            happened.append("asked")
            return source.samples(model, name)

    monkeypatch.setattr(packing, "open_source", lambda protocol, device: Watched())
    monkeypatch.setattr(packing, "write_tensors", lambda *a: (happened.append("written"), write_tensors(*a)))
    write_pack(protocol, PackRequest(tmp_path / "pack"))
    outputs = [each for number, each in enumerate(happened) if each == "asked" or happened[number - 1] == "asked"]
    assert outputs == ["asked", "written"] * 8


def test_benchmarks_of_other_tracks_have_no_packs(tmp_path):
    from harness.data.catalog import find_protocol

    with pytest.raises(UsageError, match="is no benchmark of confidence scores"):
        write_pack(find_protocol("query-mnist@2"), PackRequest(tmp_path / "pack"))


def test_withdrawn_benchmarks_have_no_packs(tmp_path):
    from harness.data.catalog import find_protocol

    with pytest.raises(UsageError, match=r"^confidence-mnist@1 is withdrawn, .*; use confidence-mnist@2 instead\.$"):
        write_pack(find_protocol("confidence-mnist@1"), PackRequest(tmp_path / "pack"))
    assert not list(tmp_path.iterdir())


def test_inputs_that_nobody_has(made, tmp_path):
    with pytest.raises(UsageError, match="has no inputs to pack; leave --inputs out"):
        write_pack(made["table"][0], PackRequest(tmp_path / "pack", inputs=True))
    assert not list((tmp_path / "pack").rglob("*.safetensors")), "it is said before anything is computed"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["msr", "mcd-msr", "mahalanobis"])
def test_a_run_of_the_embedded_benchmark_is_repeated_on_its_pack(tmp_path, monkeypatch, method):
    """By the whole way of a user: evaluate, pack the run, evaluate on the pack."""
    import harness
    from tests.cli.support import harness as command

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    run = harness.evaluate(method, benchmark="confidence-mnist@2", out=tmp_path / "runs", workers=1)
    made = command("data", "pack", run.folder, "--out", "pack", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert {model.id for model in open_pack(tmp_path / "pack").document.models} == {"plain-0", "plain-1", "plain-2"}
    again = harness.evaluate(method, benchmark=str(tmp_path / "pack/benchmark.toml"), out=tmp_path / "runs", workers=1)
    here, there = (
        [(unit.model, unit.study, unit.status, unit.outputs, unit.records) for unit in result.document.units]
        for result in (run, again)
    )
    assert len(here) == 27
    assert here == there
    assert run.document.summary == again.document.summary


def test_a_pack_may_be_a_data_set_that_was_fetched(made, tmp_path, monkeypatch):
    protocol, folder = made["table"]
    (tmp_path / "source.toml").write_text(
        'schema_version = 1\nid = "packed"\ntitle = "t"\nlicence = "none"\ncitation = ["me"]\n[[files]]\npath = "pack"\n'
        'folder = true\norigin = { kind = "own", page = "https://example.org" }\n'
    )
    manifest = find_dataset(tmp_path / "source.toml")
    monkeypatch.setattr(packs, "find_dataset", lambda name: {"packed": manifest}[name])
    described = read_toml(folder / "benchmark.toml")
    described["source"] |= {"dataset": "packed", "pack": {**described["source"]["pack"], "path": "pack/pack.json"}}
    (tmp_path / "benchmark.toml").write_text(tomli_w.dumps(described))
    elsewhere = load_protocol(tmp_path / "benchmark.toml")
    with pytest.raises(UsageError, match="harness data fetch"):
        packed.answers(elsewhere, "msr", tmp_path)
    fetch(manifest, FetchOptions(source=folder.parent))
    assert packed.answers(elsewhere, "msr", tmp_path) == packed.answers(protocol, "msr", tmp_path)
    described["source"]["pack"]["sha256"] = "0" * 64
    (tmp_path / "benchmark.toml").write_text(tomli_w.dumps(described))
    with pytest.raises(IntegrityError, match="is not the pack that"):
        packed.answers(load_protocol(tmp_path / "benchmark.toml"), "msr", tmp_path)
