"""attribution-pneumonia version 1 is what it says it is, and its board can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.boards.build import build_board, read_board
from harness.boards.gate import validate
from harness.boards.render import board_csv, board_markdown
from harness.boards.submissions import submission_folders, submissions_folder
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.methods.discovery import baseline_names
from harness.metrics.attribution import METRICS
from harness.spec.artefact import Artefact
from harness.spec.attribution import ArraySource, AttributionBenchmark
from harness.spec.errors import UsageError
from harness.tracks.attribution.sources import built, check_fit, open_source
from harness.tracks.attribution.training import train_on_xrays
from tests.pneumonia import FILE, fetch_pneumonia

NAME = "attribution-pneumonia@1"
ACCURACY = {"cnn": (0.9294, 0.9295), "resnet": (0.9523, 0.9327), "vit": (0.9427, 0.9295)}
"""On val and on test, as the card has it."""
LARGEST_WEIGHTS = 250_000


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    fetch_pneumonia(tmp_path / "cache", monkeypatch)
    return find_protocol(NAME)


@pytest.fixture
def benchmark(protocol: LoadedBenchmark) -> AttributionBenchmark:
    return protocol.of(AttributionBenchmark)


def test_without_the_images_one_sentence_says_how_to_fetch_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"not here yet; run: harness data fetch pneumoniamnist$"):
        open_source(find_protocol(NAME)).samples("test")


def test_every_file_is_pinned_and_the_weights_are_small() -> None:
    protocol = find_protocol(NAME)
    source = protocol.benchmark.source
    assert isinstance(source, ArraySource)
    assert source.locked
    for model in source.models:
        assert isinstance(model.weights, Artefact)
        assert protocol.verified(model.weights)[0].stat().st_size <= LARGEST_WEIGHTS


def test_all_metrics_but_localisation_are_taken() -> None:
    (study,) = find_protocol(NAME).of(AttributionBenchmark).studies
    assert set(study.metrics) == {name for name, metric in METRICS.items() if "masks" not in metric.needs}


def test_what_is_explained_is_from_the_test_and_the_background_from_train(protocol: LoadedBenchmark) -> None:
    samples, official = open_source(protocol).samples("test"), np.load(FILE)
    chosen = np.random.default_rng(2).permutation(624)[:30]
    np.testing.assert_array_equal(samples.inputs[:, 0], official["test_images"][chosen].astype(np.float32) / 255)
    np.testing.assert_array_equal(samples.targets, official["test_labels"][chosen, 0])
    assert np.bincount(samples.targets).tolist() == [10, 20]
    assert samples.background is not None
    assert len(samples.background) == 16
    train = {image.tobytes() for image in official["train_images"].astype(np.float32) / 255}
    assert {image.tobytes() for image in samples.background[:, 0]} <= train


def test_networks_know_the_disease_as_well_as_the_card_says(
    protocol: LoadedBenchmark, benchmark: AttributionBenchmark
) -> None:
    source, official = open_source(protocol), np.load(FILE)
    for model in benchmark.source.models:
        found = built(source, model, "cpu")
        check_fit(found, source.samples("test"), model.id)
        for part, expected in zip(("val", "test"), ACCURACY[model.id], strict=True):
            inputs = torch.from_numpy(official[f"{part}_images"][:, None].astype(np.float32) / 255)
            with torch.inference_mode():
                predicted = found.network(inputs).argmax(dim=1).numpy()
            reached = (predicted == official[f"{part}_labels"][:, 0]).mean()
            assert abs(reached - expected) < 0.003, f"{model.id} on {part}: {reached}"


def test_training_gives_the_same_weights_again_and_learns_the_rarer_class() -> None:
    """Synthetic X-rays, one in five with a bright middle."""
    labels = (torch.arange(100) % 5 != 0).long()
    images = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.3
    images[labels == 0, :, 8:20, 8:20] += 0.6
    first, again = (train_on_xrays("cnn", images, labels, epochs=20) for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in first.modules())
    with torch.inference_mode():
        assert (first(images).argmax(dim=1) == labels).float().mean() > 0.95


def test_the_committed_board_is_the_one_its_submissions_give(protocol: LoadedBenchmark) -> None:
    now, folder = build_board(protocol), protocol.path.parent
    assert now == read_board(protocol)
    assert board_csv(now) == (folder / "board.csv").read_text()
    assert board_markdown(now, protocol.benchmark) == (folder / "board.md").read_text()
    assert not now.unranked
    assert {row.method for row in now.rows} <= set(baseline_names("attribution"))
    assert {row.method for row in now.rows} == {
        row.method for row in read_board(find_protocol("attribution-mnist@1")).rows
    }


def test_maps_that_say_nothing_are_below_the_middle_in_faithfulness(protocol: LoadedBenchmark) -> None:
    rows = {row.method: row for row in read_board(protocol).rows}
    pool = [row.cells["faithfulness"].value for row in rows.values() if not row.reference]
    for name in ("random-map", "constant-map"):
        assert rows[name].cells["faithfulness"].value > np.median(pool)


def test_the_gate_accepts_every_committed_submission(protocol: LoadedBenchmark) -> None:
    """VarGrad stands apart from the others, which a reader is told."""
    found = {folder.name: validate(folder).findings for folder in submission_folders(submissions_folder(NAME))}
    said = {name: [(each.rule, each.severity) for each in findings] for name, findings in found.items() if findings}
    assert said == {"var-grad": [("far-ahead", "flagged")]}
