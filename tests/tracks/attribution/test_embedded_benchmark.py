"""attribution-mnist version 1 is what it says it is, and its board can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.boards.build import build_board, read_board, read_standings
from harness.boards.render import board_csv, board_markdown
from harness.data.catalog import LoadedBenchmark, bundled_folder, find_protocol
from harness.methods.discovery import baseline_names
from harness.metrics.attribution import METRICS, ORDERS
from harness.spec.attribution import AttributionBenchmark, BundledNetwork, DigitSource
from harness.spec.board import Board, Row
from harness.storage import read_json
from harness.tracks.attribution.leaderboard import OVERALL
from harness.tracks.attribution.sources import built, open_source

MODALITIES = ("image", "volume", "point-cloud")
SANITY = ("random-map", "constant-map", "edge-map", "randomised-saliency")
OBSERVATIONS = 30


@pytest.fixture(scope="module")
def protocol() -> LoadedBenchmark:
    return find_protocol("attribution-mnist@1")


@pytest.fixture(scope="module")
def benchmark(protocol: LoadedBenchmark) -> AttributionBenchmark:
    return protocol.of(AttributionBenchmark)


@pytest.fixture(scope="module")
def board(protocol: LoadedBenchmark) -> Board:
    return read_board(protocol)


def row(board: Board, name: str) -> Row:
    return next(each for each in board.rows if each.method == name)


def test_every_file_has_its_pinned_hash(protocol: LoadedBenchmark, benchmark: AttributionBenchmark) -> None:
    source = benchmark.source
    assert isinstance(source, DigitSource)
    assert source.locked
    for model in source.models:
        assert isinstance(model, BundledNetwork)
        path, _ = protocol.verified(model.weights)
        assert path.stat().st_size < 400_000
    protocol.verified(source.splits)


def test_nothing_that_is_explained_was_trained_on(protocol: LoadedBenchmark, benchmark: AttributionBenchmark) -> None:
    assert isinstance(benchmark.source, DigitSource)
    splits = {name: set(ids) for name, ids in read_json(protocol.locate(benchmark.source.splits.path)).items()}
    assert not splits["observations"] & (splits["train"] | splits["validation"])
    assert splits["background"] <= splits["train"]


def test_three_modalities_three_networks_each_one_a_transformer(benchmark: AttributionBenchmark) -> None:
    for modality in MODALITIES:
        models = [model for model in benchmark.source.models if model.modality == modality]
        assert sorted(model.architecture for model in models) == ["cnn", "cnn", "transformer"]


def test_all_metrics_are_taken_and_localisation_only_where_the_truth_is_known(benchmark: AttributionBenchmark) -> None:
    needs_masks = {name for name, metric in METRICS.items() if "masks" in metric.needs}
    for modality in MODALITIES:
        taken = {study.id: set(study.metrics) for study in benchmark.studies if study.group == modality}
        assert set(ORDERS["published"]) < taken[modality]
        assert taken[f"{modality}-distractor"] == needs_masks
        assert taken[modality] | needs_masks == set(METRICS)


def test_networks_know_the_digits_that_they_explain(protocol: LoadedBenchmark, benchmark: AttributionBenchmark) -> None:
    source = open_source(protocol)
    models = {model.id: model for model in benchmark.source.models}
    for study in benchmark.studies:
        samples = source.samples(study.samples)
        assert len(samples.inputs) == OBSERVATIONS
        assert np.bincount(samples.targets, minlength=10).tolist() == [OBSERVATIONS // 10] * 10
        for name in study.models:
            with torch.inference_mode():
                logits = built(source, models[name], "cpu").network(torch.from_numpy(samples.inputs))
            assert (logits.argmax(dim=1).numpy() == samples.targets).mean() > 0.75, f"{name} on {study.samples}"


def test_the_pool_is_the_seventeen_of_latec(benchmark: AttributionBenchmark) -> None:
    baselines = {name for name in baseline_names("attribution") if not name.endswith("-latec")}
    assert len(benchmark.reference) == 17
    assert set(benchmark.reference) | {"smooth-grad", "var-grad", *SANITY} == baselines


def test_the_committed_board_is_the_one_its_submissions_give(
    protocol: LoadedBenchmark, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    built_now = build_board(protocol)
    assert built_now == board
    folder = protocol.path.parent
    assert board_csv(built_now) == (folder / "board.csv").read_text()
    assert board_markdown(built_now, protocol.benchmark) == (folder / "board.md").read_text()
    assert not board.unranked


def test_every_baseline_is_on_the_board_in_the_version_that_is_here(protocol: LoadedBenchmark, board: Board) -> None:
    """That a source written anew answers the same is shown in tests/boards/test_baselines.py."""
    from harness.methods.discovery import find_method

    names = {each.method for each in board.rows}
    readings = {name for name in baseline_names("attribution") if name.endswith("-latec")}  # of another protocol
    assert names - readings == set(baseline_names("attribution")) - readings
    for entry in read_standings(protocol).entries:
        assert entry.method.version == find_method(entry.method.name).spec.version
    assert bundled_folder("submissions").is_dir()


def test_sanity_rows_take_no_rank_and_end_below_the_middle(board: Board) -> None:
    pool = [each for each in board.rows if not each.reference]
    middle = np.median([each.cells["faithfulness"].value for each in pool])
    for name in SANITY:
        assert row(board, name).cells[OVERALL].rank is None
    for name in ("random-map", "constant-map"):
        assert row(board, name).cells["faithfulness"].value > middle
        assert row(board, name).cells["localisation"].value > middle


def test_the_board_discriminates(protocol: LoadedBenchmark) -> None:
    board = build_board(protocol, all_tiers=True)
    for column in (*board.columns[:-1], OVERALL):
        assert board.groups[column] >= 2, column
