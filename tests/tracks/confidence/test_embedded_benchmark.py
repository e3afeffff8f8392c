"""confidence-mnist version 2 is what it says it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from harness.boards.build import build_board, read_board
from harness.boards.render import board_csv, board_markdown
from harness.data.catalog import LoadedBenchmark, bundled_folder, find_protocol
from harness.spec.sources import ImageSource
from harness.storage import read_arrays, read_json
from harness.tracks.confidence.outcomes import LABELS, PINNED, predictions
from harness.tracks.confidence.sources import open_source

FAMILIES = ("plain", "devries", "deep-gamblers")


@pytest.fixture(scope="module")
def protocol() -> LoadedBenchmark:
    return find_protocol("confidence-mnist@2")


@pytest.fixture(scope="module")
def source(protocol: LoadedBenchmark) -> ImageSource:
    assert isinstance(protocol.benchmark.source, ImageSource)
    return protocol.benchmark.source


@pytest.fixture(scope="module")
def accuracy(protocol: LoadedBenchmark) -> dict[tuple[str, str], float]:
    """(model, set) -> accuracy, from the pinned outcomes."""
    assert protocol.benchmark.outcomes is not None
    outcomes = read_arrays(protocol.verified(protocol.benchmark.outcomes)[0])
    sets = {name for study in protocol.benchmark.studies for name in study.sets}
    return {
        (model.id, name): float(
            (
                outcomes[PINNED.format(model=model.id, set=name, classifier="point")]
                == outcomes[LABELS.format(set=name)]
            ).mean()
        )
        for model in protocol.benchmark.source.models
        for name in sets
    }


def test_every_file_has_its_pinned_hash(protocol: LoadedBenchmark, source: ImageSource) -> None:
    assert protocol.benchmark.outcomes is not None
    for artefact in (source.splits, protocol.benchmark.outcomes, *(model.weights for model in source.models)):
        assert artefact.sha256 is not None
        protocol.verified(artefact)


def test_training_validation_and_test_images_are_apart(protocol: LoadedBenchmark, source: ImageSource) -> None:
    splits = {name: set(ids) for name, ids in read_json(protocol.locate(source.splits.path)).items()}
    assert {name: len(ids) for name, ids in splits.items()} == {"train": 800, "validation": 600, "test": 2600}
    assert len(set.union(*splits.values())) == 4000


def test_there_are_at_least_a_hundred_failures_a_model(accuracy: dict[tuple[str, str], float]) -> None:
    failures = {model: round(2600 * (1 - value)) for (model, name), value in accuracy.items() if name == "iid"}
    assert len(failures) == 9
    assert min(failures.values()) >= 100
    assert min(accuracy[model, "iid"] for model in failures) > 0.94


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_are_within_one_and_a_half_points(accuracy: dict[tuple[str, str], float], family: str) -> None:
    values = [accuracy[f"{family}-{seed}", "iid"] for seed in range(3)]
    assert max(values) - min(values) < 0.015


def test_accuracy_falls_evenly_over_the_severities(accuracy: dict[tuple[str, str], float]) -> None:
    levels = [
        np.mean([accuracy[f"plain-{seed}", name] for seed in range(3)])
        for name in ["iid", *(f"corruption-{severity}" for severity in range(1, 6))]
    ]
    steps = -np.diff(levels)
    assert 0.87 < levels[1] < levels[0]
    assert 0.40 < levels[5] < 0.50
    assert steps[1:].min() > 0.08
    assert steps[1:].max() < 0.15


def test_each_corruption_has_its_share_of_other_images(protocol: LoadedBenchmark, source: ImageSource) -> None:
    from harness.tracks.confidence.images import BenchmarkImages

    sets = {each.id: each for each in source.sets}
    splits = protocol.locate(source.splits.path)
    first, last = (
        BenchmarkImages(protocol, source).load(sets[f"corruption-{severity}"], splits) for severity in (1, 5)
    )
    assert len(source.corruptions) == 15
    assert len(set(first.names)) == 1500
    assert set(first.names) == set(last.names), "the same images at every severity"
    assert np.bincount(first.corruption).tolist() == [100] * 15
    assert np.bincount(first.labels).min() >= 187, "equal shares of the classes"
    places = [last.names.index(name) for name in first.names]
    assert (first.images != last.images[places]).any(axis=(1, 2)).mean() > 0.99


def test_pinned_predictions_are_those_of_this_machine(
    protocol: LoadedBenchmark, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert protocol.benchmark.outcomes is not None
    outcomes = read_arrays(protocol.verified(protocol.benchmark.outcomes)[0])
    opened = open_source(protocol, "cpu")
    model = source.models[0]
    for name in ("iid", "corruption-3", "scanner", "photos"):
        samples = opened.samples(model, name)
        for classifier in ("point", "mc-mean"):
            pinned = outcomes[PINNED.format(model=model.id, set=name, classifier=classifier)]
            assert (predictions(samples, classifier) == pinned).mean() > 0.998
        assert (samples.labels == outcomes[LABELS.format(set=name)]).all()


def test_the_reservation_that_is_offered_gives_the_confidence_of_the_head(
    protocol: LoadedBenchmark, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    opened = open_source(protocol, "cpu")
    plain, gambler = (
        next(each for each in source.models if each.head == head) for head in ("confidnet", "deep-gamblers")
    )
    assert not any(name.startswith("reservation") for name in opened.shared(plain))
    layer, said = opened.shared(gambler), opened.samples(gambler, "validation").arrays
    reservation = said["features"] @ layer["reservation_weight"].T + layer["reservation_bias"]
    probabilities = softmax(np.concatenate([said["logits"], reservation], axis=1), axis=1)
    np.testing.assert_allclose(1 - probabilities[:, -1], said["head_confidence"], atol=1e-5)


def test_the_committed_board_is_the_one_its_submissions_give(
    protocol: LoadedBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    board = build_board(protocol)
    folder = protocol.path.parent
    assert board == read_board(protocol)
    assert (folder / "board.csv").read_text() == board_csv(board)
    assert (folder / "board.md").read_text() == board_markdown(board, protocol.benchmark)
    assert not board.unranked


def test_the_board_discriminates(protocol: LoadedBenchmark) -> None:
    board = read_board(protocol)
    assert all(count >= 4 for count in board.groups.values()), board.groups
    best = {column: min(row.cells[column].value for row in board.rows if not row.reference) for column in board.columns}
    bounds = {row.method: row for row in board.rows if row.reference}
    for column in board.columns:
        assert bounds["oracle"].cells[column].value < best[column] < bounds["random"].cells[column].value


def test_stored_outputs_are_small() -> None:
    outputs = bundled_folder("submissions").glob("confidence-mnist@2/*/outputs.npz")
    assert sum(path.stat().st_size for path in outputs) < 8_000_000
    assert max(path.stat().st_size for path in bundled_folder("datasets").rglob("*.safetensors")) < 300_000


@pytest.mark.slow
def test_freezing_anew_gives_the_pinned_outcomes(
    protocol: LoadedBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.tracks.confidence.freeze import outcomes_of

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert protocol.benchmark.outcomes is not None
    pinned = read_arrays(protocol.verified(protocol.benchmark.outcomes)[0])
    anew = outcomes_of(protocol)
    assert anew.keys() == pinned.keys()
    assert min(float((anew[name] == pinned[name]).mean()) for name in pinned) > 0.998


@pytest.mark.slow
def test_training_anew_gives_a_network_as_good(protocol: LoadedBenchmark, source: ImageSource) -> None:
    import torch

    from harness.data.embedded import mnist_5k
    from harness.tracks.confidence.inference import run_model
    from harness.tracks.confidence.networks import to_inputs
    from harness.tracks.confidence.training import read_recipe, train_network

    images, labels = mnist_5k()
    splits = read_json(protocol.locate(source.splits.path))
    training, test = (to_inputs(images[splits[name]], source.mean, source.std) for name in ("train", "test"))
    torch.set_num_threads(1)
    recipe = read_recipe(bundled_folder("datasets") / "confidence-mnist")
    network = train_network("plain", 0, training, labels[splits["train"]], recipe)
    logits = run_model(network, test, members=1)["logits"]
    assert 0.94 < (logits.argmax(axis=1) == labels[splits["test"]]).mean() < 0.975
