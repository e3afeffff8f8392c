"""What a plan says of data and costs, also where nothing is on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data import catalog
from harness.data.catalog import benchmark_files, find_protocol, load_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import load_manifest
from harness.data.toml import read_toml
from harness.execution.evaluate import Request, prepare
from harness.execution.needs import needs_of, require_data
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of
from harness.tracks.costs import COSTS, text_of

LARGE = [
    "attribution-latec@2",
    "attribution-latec@3",
    "confidence-fdshifts@1",
    "confidence-fdshifts@2",
    "confidence-fdshifts@3",
    "confidence-silent-failures@1",
    "query-nnactive@1",
    "query-realistic-al@2",
]

IMAGES = """
id = "images"
title = "Images"
licence = "made up"
citation = ["nobody"]
access = "form"
terms = "ask nicely"
files = [
    { path = "train.npz", origin = { kind = "own", page = "https://example.org/train" }, bytes = 30 },
    { path = "test.npz", origin = { kind = "url", url = "https://example.org/test.npz" }, about_bytes = 20 },
    { path = "notes.txt", origin = { kind = "url", url = "https://example.org/notes.txt" } },
]
reader = { kind = "medmnist", file = "train.npz" }
parts = { train = { split = "train" } }
products = [{ path = "mine/prepared.npz", parts = ["train"], form = { kind = "images" } }]
"""

BENCHMARK = """
id = "mine"
version = 1
title = "Mine"
task = "query"
performance = "accuracy"
seeds = [0]
studies = [{ id = "low", group = "low", dataset = "mine", training = "small", start = 20, query = 10, loops = 2 }]

[[source.datasets]]
kind = "arrays"
id = "mine"
classes = 10
validation = 10
train = { path = "mine/prepared.npz" }
test = { path = "mine/by-hand.npz" }

[[trainings]]
kind = "classifier"
id = "small"
network = "resnet-18"
epochs = 10
batch_size = 10
optimiser = { learning_rate = 0.1 }
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A benchmark that names one file that a bundled data set prepares, and one that nobody knows."""
    (tmp_path / "bundled" / "datasets" / "images").mkdir(parents=True)
    (tmp_path / "bundled" / "datasets" / "images" / "source.toml").write_text(IMAGES)
    monkeypatch.setattr(catalog, "bundled_folder", lambda name: tmp_path / "bundled" / name)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.toml"
    path.write_text(BENCHMARK)
    return load_protocol(path)


def test_a_missing_file_leads_to_the_data_set_that_it_is_prepared_from(mine):
    needs = needs_of(mine)
    (need,) = needs.data
    assert needs.absent == ("mine/prepared.npz", "mine/by-hand.npz")
    assert needs.unexplained == ("mine/by-hand.npz",)
    assert (need.dataset, need.access, need.terms, need.locked) == ("images", "form", "ask nicely", False)
    assert (need.files, need.files_here, need.bytes, need.bytes_missing, need.unsized) == (3, 0, 50, 50, 1)
    assert need.about
    assert need.pages == ("https://example.org/train",)
    assert need.products == ("mine/prepared.npz",)
    assert need.fetch == ("harness data fetch images --from FOLDER",)
    assert need.prepare == ("harness data prepare images",)


def test_a_fetched_file_itself_is_asked_of_its_data_set(mine, tmp_path):
    path = tmp_path / "direct.toml"
    path.write_text(BENCHMARK.replace("mine/prepared.npz", "images/train.npz").replace("mine/by-hand", "images/no"))
    direct = load_protocol(path)
    needs = needs_of(direct)
    (need,) = needs.data
    assert (need.dataset, need.files, need.products, need.prepare) == ("images", 1, (), ())
    assert need.fetch == ("harness data fetch images --file 'train.npz' --from FOLDER",)
    assert needs.unexplained == ("images/no.npz",)
    with pytest.raises(UsageError, match="the data of mine@1 are not here yet; run: harness data fetch images --file"):
        require_data(direct)
    with pytest.raises(
        UsageError, match=r"mine@1 needs images/train\.npz, which is not here yet; run: harness data fetch images$"
    ):
        direct.verified(direct.benchmark.source.datasets[0].train)

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.npz").write_bytes(b"x" * 30)
    folder = fetch(
        load_manifest(catalog.bundled_folder("datasets") / "images" / "source.toml"),
        FetchOptions(pattern="train.npz", source=tmp_path / "own"),
    )
    assert direct.locate("images/train.npz") == folder / "train.npz"
    assert direct.verified(direct.benchmark.source.datasets[0].train)[0] == folder / "train.npz"
    assert needs_of(direct).data[0].fetch == ()
    require_data(direct)


def test_what_was_prepared_needs_nothing_more(mine):
    prepared = catalog.prepared_folder() / "mine" / "prepared.npz"
    prepared.parent.mkdir(parents=True)
    prepared.write_bytes(b"")
    needs = needs_of(mine)
    assert needs.absent == ("mine/by-hand.npz",)
    assert (needs.data[0].fetch, needs.data[0].prepare, needs.data[0].bytes_missing) == ((), (), 0)


def test_files_that_are_here_are_not_asked_for_again(mine, tmp_path):
    manifest = load_manifest(catalog.bundled_folder("datasets") / "images" / "source.toml")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.npz").write_bytes(b"x" * 30)
    fetch(manifest, FetchOptions(pattern="train.npz", source=tmp_path / "own"))
    (need,) = needs_of(mine).data
    assert (need.files_here, need.bytes_missing) == (1, 20)
    assert need.fetch == tuple(f"harness data fetch images --file '{name}'" for name in ("test.npz", "notes.txt"))


@pytest.mark.parametrize("name", LARGE)
def test_large_benchmarks_are_planned_where_nothing_is(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    task = find_protocol(name).benchmark.task
    prepared = prepare(Request(kind_of(task).simple_method, name, out=tmp_path / "runs"))
    needs, cost = needs_of(prepared.protocol), estimated(prepared)
    assert len(needs.data) >= 3
    assert all(need.licence and (need.bytes or need.unsized) for need in needs.data)
    assert prepared.track.workload(list(prepared.plan.units.values())).absent
    assert all(need.fetch or need.prepare for need in needs.data)
    if name != "confidence-silent-failures@1":  # whose networks have been run by somebody else
        assert cost is not None
        assert cost.hours is not None
        assert cost.hours > 0.05
    assert not list(tmp_path.glob("runs/*")), "a plan writes nothing"


def test_every_bundled_benchmark_is_known_to_be_large_or_small():
    small = {"attribution-mnist@1", "confidence-mnist@1", "query-mnist@2", "query-mni152@2"}
    pneumonia = {"attribution-pneumonia@1", "query-pneumonia@1"}
    assert set(benchmark_files()) >= {*LARGE, *small, *pneumonia}
    for name in small:
        assert needs_of(find_protocol(name)).data == ()
    for name in pneumonia:
        (need,) = needs_of(find_protocol(name)).data
        assert (need.dataset, need.bytes, need.locked) == ("pneumoniamnist", 4_170_669, True)


def test_of_released_weights_only_the_archives_that_are_used_are_fetched():
    (every,) = (
        each for each in needs_of(find_protocol("confidence-fdshifts@3")).data if each.dataset == "fdshifts-weights"
    )
    assert every.files == 9
    needs = {need.dataset: need for need in needs_of(find_protocol("confidence-fdshifts@1")).data}
    commands = " ".join(needs["fdshifts-weights"].fetch)
    assert needs["fdshifts-weights"].files == 7
    assert "openset" not in commands
    assert commands.count("--file") == 7


def estimated(prepared):
    return prepared.track.estimate(list(prepared.plan.units.values()))


def hours(protocol, method="msr", **wishes):
    prepared = prepare(Request(method, protocol, **wishes))
    return estimated(prepared).hours


def test_members_of_dropout_cost_as_many_passes(tmp_path, monkeypatch):
    """50 more passes of half of the networks, and as often the reading of images for them only."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    plain, members = (hours("confidence-fdshifts@1", method) for method in ("msr", "mcd-msr"))
    assert 10 < members / plain < 51


def test_trainings_are_counted_in_steps_and_networks(mine, tmp_path):
    """A campaign of two loops trains twice, on 20 and on 30 images for 10 epochs, three times a forward pass each."""
    path = tmp_path / "mine.toml"
    costs = read_toml(COSTS)
    once = costs["forward"]["resnet-18"][0]["multiply_adds"] * costs["training_factor"]
    expected = 2 * 25 * 10 * once / costs["multiply_adds_per_second"] / 3600
    assert hours(str(path), "random-sampling") == pytest.approx(expected)


def test_hours_are_said_with_one_digit():
    assert text_of(0.4) == "less than an hour of a graphics card"
    assert text_of(7.3) == "about 7 hours of a graphics card"
    assert text_of(8888.0) == "about 9,000 hours of a graphics card"


def test_a_data_set_that_is_not_known_is_a_mistake_in_the_benchmark(tmp_path):
    text = find_protocol("confidence-silent-failures").path.read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('"lidc-idri"]', '"lidc"]'))
    with pytest.raises(UsageError, match="rests on the data set 'lidc', which is not known"):
        needs_of(load_protocol(path))


def test_the_plan_is_printed_and_is_json(mine, capsys, tmp_path):
    from harness.cli.plan import render_plan

    prepared = prepare(Request("random-sampling", str(mine.path), out=Path("runs")))
    render_plan(prepared, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["bytes_to_fetch"] == 50
    assert shown["data"][0]["fetch"] == ["harness data fetch images --from FOLDER"]
    assert shown["files_unexplained"] == ["mine/by-hand.npz"]
    assert shown["seconds_estimated"] is None
    render_plan(prepared, as_json=False)
    printed = capsys.readouterr().out
    for part in ("ask nicely", "https://example.org/train", "harness data prepare images", "order of magnitude"):
        assert part in printed
