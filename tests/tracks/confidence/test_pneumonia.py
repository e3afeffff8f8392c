"""confidence-pneumonia version 1 is what it says it is; what needs its images skips where they are not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.boards.build import build_board, read_board
from harness.boards.render import board_csv, board_markdown
from harness.boards.submissions import submissions_folder
from harness.data.catalog import LoadedBenchmark, bundled_folder, find_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.image_sets import part_images
from harness.data.manifests import find_dataset
from harness.execution.evaluate import Request, prepare
from harness.execution.needs import needs_of
from harness.spec.errors import UsageError
from harness.spec.sources import ImageSource
from harness.storage import read_arrays, read_json
from harness.tracks.confidence.computed import ComputedOutputs
from harness.tracks.confidence.images import BenchmarkImages, SetImages
from harness.tracks.confidence.model_outputs import NO_CLASS
from harness.tracks.confidence.outcomes import LABELS, PINNED, predictions
from harness.tracks.confidence.sources import open_source
from harness.tracks.confidence.training import make_splits, read_recipe
from tests.tracks.confidence.orders import SURPRISING, surprise

DATA = ("pneumoniamnist", "breastmnist")
SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data" / "medmnist"
MARGIN = Path(__file__).parents[3] / "examples" / "margin.py"
SIZES = {"iid": 262, "test": 624, "breast": 156} | {f"corruption-{severity}": 225 for severity in range(1, 6)}


@pytest.fixture(scope="module")
def protocol() -> LoadedBenchmark:
    return find_protocol("confidence-pneumonia@1")


@pytest.fixture(scope="module")
def source(protocol: LoadedBenchmark) -> ImageSource:
    assert isinstance(protocol.benchmark.source, ImageSource)
    return protocol.benchmark.source


@pytest.fixture(scope="module")
def outcomes(protocol: LoadedBenchmark) -> dict[str, np.ndarray]:
    assert protocol.benchmark.outcomes is not None
    return dict(read_arrays(protocol.verified(protocol.benchmark.outcomes)[0]))


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing was ever fetched."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fetched(nothing: Path) -> Path:
    """A machine with the images in its cache."""
    for name in DATA:
        if not (SHARED / f"{name}.npz").is_file():
            pytest.skip(f"{SHARED} has no {name}.npz; HARNESS_SHARED names the folder that has data/medmnist")
        fetch(find_dataset(name), FetchOptions(source=SHARED))
    return nothing


@pytest.fixture
def images(fetched: Path, protocol: LoadedBenchmark, source: ImageSource) -> dict[str, SetImages]:
    opened, splits = BenchmarkImages(protocol, source), protocol.locate(source.splits.path)
    return {each.id: opened.load(each, splits) for each in source.sets}


def accuracy(outcomes: dict[str, np.ndarray], model: str, name: str) -> float:
    predicted = outcomes[PINNED.format(model=model, set=name, classifier="point")]
    return float((predicted == outcomes[LABELS.format(set=name)]).mean())


# Without any image --------------------------------------------------------------------------------


def test_every_file_has_its_pinned_hash(protocol: LoadedBenchmark, source: ImageSource) -> None:
    assert protocol.benchmark.outcomes is not None
    for artefact in (source.splits, protocol.benchmark.outcomes, *(model.weights for model in source.models)):
        assert artefact.sha256 is not None
        assert protocol.verified(artefact)[0].stat().st_size < 250_000
    assert protocol.benchmark.locked
    assert all(find_dataset(name).locked for name in source.datasets)


def test_the_halves_of_val_are_disjoint(protocol: LoadedBenchmark, source: ImageSource) -> None:
    splits = read_json(protocol.locate(source.splits.path))
    assert sorted(splits["validation"] + splits["iid"]) == list(range(524))
    assert len(splits["iid"]) == 262


def test_outcomes_are_of_every_sample(outcomes: dict[str, np.ndarray]) -> None:
    assert {name: len(outcomes[LABELS.format(set=name)]) for name in SIZES} == SIZES
    assert set(outcomes["breast--labels"].tolist()) == {NO_CLASS}


def test_networks_are_good_within_and_worse_on_other_patients(outcomes: dict[str, np.ndarray]) -> None:
    for family in ("plain", "devries", "deep-gamblers"):
        iid, test = ([accuracy(outcomes, f"{family}-{seed}", name) for seed in range(3)] for name in ("iid", "test"))
        assert min(iid) > 0.92
        assert 0.83 < min(test) <= max(test) < 0.90


def test_accuracy_falls_with_each_severity(outcomes: dict[str, np.ndarray]) -> None:
    levels = [
        np.mean([accuracy(outcomes, f"plain-{seed}", f"corruption-{severity}") for seed in range(3)])
        for severity in range(1, 6)
    ]
    assert np.diff(levels).max() < 0
    assert 0.65 < levels[4] < levels[0] < 0.95


def test_without_the_images_a_plan_says_what_to_fetch(nothing: Path, protocol: LoadedBenchmark) -> None:
    needs = needs_of(protocol)
    assert {need.dataset: need.fetch for need in needs.data} == {name: (f"harness data fetch {name}",) for name in DATA}
    prepared = prepare(Request(str(MARGIN), "confidence-pneumonia@1", out=nothing / "runs"))
    assert len(prepared.plan.units) == 24
    absent = prepared.track.workload(list(prepared.plan.units.values())).absent
    assert absent == (*(f"pneumoniamnist: part {part}" for part in ("train", "val", "test")), "breastmnist: part test")


def test_without_the_images_a_run_ends_with_the_command_that_fetches_them(
    nothing: Path, tmp_path: Path, in_this_process: None
) -> None:
    with pytest.raises(UsageError, match=r"run: harness data fetch pneumoniamnist breastmnist$"):
        harness.evaluate(MARGIN, "confidence-pneumonia@1", out=tmp_path / "runs")


def test_stored_answers_are_scored_without_the_images(nothing: Path, tmp_path: Path, protocol: LoadedBenchmark) -> None:
    board = build_board(protocol)
    folder = protocol.path.parent
    assert board == read_board(protocol)
    assert (folder / "board.csv").read_text() == board_csv(board)
    assert (folder / "board.md").read_text() == board_markdown(board, protocol.benchmark)
    assert not board.unranked
    assert not (nothing / "data").exists()


def test_the_board_discriminates(protocol: LoadedBenchmark) -> None:
    board = read_board(protocol)
    best = {column: min(row.cells[column].value for row in board.rows if not row.reference) for column in board.columns}
    bounds = {row.method: row for row in board.rows if row.reference}
    for column in board.columns:
        assert bounds["oracle"].cells[column].value < best[column] < bounds["random"].cells[column].value


def test_rows_are_small() -> None:
    rows = [path for path in bundled_folder("submissions").glob("confidence-pneumonia@1/*") if path.name != "sources"]
    sizes = [sum(file.stat().st_size for file in row.iterdir()) for row in rows]
    assert max(sizes) < 130_000
    assert sum(sizes) < 4_000_000


# With the images ----------------------------------------------------------------------------------


def test_parts_of_the_benchmark_share_no_image(images: dict[str, SetImages]) -> None:
    chosen = [set(images[name].names) for name in ("train", "validation", "iid", "test", "breast")]
    assert len(set.union(*chosen)) == sum(map(len, chosen)) == 4708 + 524 + 624 + 156
    assert all(set(images[f"corruption-{severity}"].names) <= chosen[2] for severity in range(1, 6))


def test_halves_have_the_same_shares_of_classes(images: dict[str, SetImages]) -> None:
    counts = [np.bincount(images[name].labels) for name in ("validation", "iid")]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_the_order_of_rows_says_nothing_of_classes_and_corruptions(images: dict[str, SetImages]) -> None:
    """Of classes and failures in studied sets also without the images: see test_orders.py."""
    for name, found in images.items():
        facts = {"label": found.labels}
        if name.startswith("corruption"):
            assert found.corruption is not None
            assert np.bincount(found.corruption).tolist() == [15] * 15
            facts["corruption"] = found.corruption
        assert surprise(facts) < SURPRISING, name


def test_splits_are_those_of_the_recipe(fetched: Path, protocol: LoadedBenchmark, source: ImageSource) -> None:
    labels = part_images(find_dataset("pneumoniamnist"), "val").labels
    recipe = read_recipe(bundled_folder("datasets") / "confidence-pneumonia")
    assert make_splits(recipe.splits, labels, 2) == read_json(protocol.locate(source.splits.path))


def test_pinned_predictions_are_those_of_this_machine(
    fetched: Path, protocol: LoadedBenchmark, source: ImageSource, outcomes: dict[str, np.ndarray]
) -> None:
    opened = open_source(protocol, "cpu")
    for model in (source.models[0], source.models[3], source.models[6]):
        for name in ("iid", "corruption-3", "test", "breast"):
            samples = opened.samples(model, name)
            for classifier in ("point", "mc-mean"):
                pinned = outcomes[PINNED.format(model=model.id, set=name, classifier=classifier)]
                assert (predictions(samples, classifier) == pinned).mean() > 0.99
            assert (samples.labels == outcomes[LABELS.format(set=name)]).all()


def test_what_was_computed_stays_when_the_images_go(
    fetched: Path, protocol: LoadedBenchmark, source: ImageSource
) -> None:
    opened = open_source(protocol, "cpu")
    before = opened.samples(source.models[0], "iid")
    shutil.rmtree(fetched / "data")
    anew = open_source(protocol, "cpu")
    assert isinstance(anew, ComputedOutputs)
    assert anew.ready(source.models[0], "iid")
    np.testing.assert_array_equal(anew.samples(source.models[0], "iid").arrays["logits"], before.arrays["logits"])


def test_a_row_is_what_its_method_says(fetched: Path, tmp_path: Path, in_this_process: None) -> None:
    name = "confidence-pneumonia@1"
    result = harness.evaluate("msr", name, out=tmp_path / "runs")
    assert result.complete
    (run,) = (tmp_path / "runs").glob("*/run.json")
    anew, stored = (
        {
            (unit["study"], unit["model"], each["metric"]): each["value"]
            for unit in read_json(path)["units"]
            for each in unit["records"]
        }
        for path in (run, submissions_folder(name) / "msr" / "run.json")
    )
    assert len(anew) == 24 * 8
    assert anew == pytest.approx(stored, rel=1e-3, abs=1e-4)
