"""meta-mnist version 1 is what it says it is, and its board can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.boards.build import build_board, read_board, read_standings
from harness.boards.render import board_csv, board_markdown
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.methods.discovery import baseline_names
from harness.metrics.attribution import METRICS
from harness.metrics.attribution.complexity import Sparseness
from harness.spec.attribution import BundledNetwork
from harness.spec.attribution_metric import AttributionMetricBenchmark, MappedDigits
from harness.spec.board import Board, Row
from harness.tracks.attribution.sources import built, open_source
from harness.tracks.attribution_metric.leaderboard import OVERALL
from harness.tracks.attribution_metric.maps import MapFile, read_maps

DRAWING = {"random-map", "lime", "kernel-shap", "expected-gradients"}


@pytest.fixture(scope="module")
def protocol() -> LoadedBenchmark:
    return find_protocol("meta-mnist@1")


@pytest.fixture(scope="module")
def benchmark(protocol: LoadedBenchmark) -> AttributionMetricBenchmark:
    return protocol.of(AttributionMetricBenchmark)


@pytest.fixture(scope="module")
def files(protocol: LoadedBenchmark, benchmark: AttributionMetricBenchmark) -> dict[str, MapFile]:
    return {each.model: read_maps(protocol.verified(each.file)[0]) for each in benchmark.source.maps}


@pytest.fixture(scope="module")
def board(protocol: LoadedBenchmark) -> Board:
    return read_board(protocol)


def row(board: Board, name: str) -> Row:
    return next(each for each in board.rows if each.method == name)


def test_every_file_has_its_pinned_hash_and_is_small(
    protocol: LoadedBenchmark, benchmark: AttributionMetricBenchmark
) -> None:
    source = benchmark.source
    assert isinstance(source, MappedDigits)
    assert source.locked
    pinned = [each.file for each in source.maps]
    pinned += [model.weights for model in source.models if isinstance(model, BundledNetwork)]
    sizes = [protocol.verified(each)[0].stat().st_size for each in pinned]
    assert max(sizes) < 2_000_000
    assert sum(sizes) < 6_000_000
    assert not source.model_copy(update={"maps": (source.maps[0].model_copy(update={"file": pinned[0].model_copy(
        update={"sha256": None})}),)}).locked  # fmt: skip


def test_maps_fit_their_samples(
    protocol: LoadedBenchmark, benchmark: AttributionMetricBenchmark, files: dict[str, MapFile]
) -> None:
    source = open_source(protocol)
    for stored in benchmark.source.maps:
        inputs = source.samples(stored.samples).inputs
        file = files[stored.model]
        for maps in (*file.maps.values(), *file.randomised.values()):
            assert maps.shape == (len(inputs), 1, *inputs.shape[2:])
        assert set(benchmark.sanity) <= set(file.maps)
        assert len(file.maps) - len(benchmark.sanity) >= 11
    assert set(files["vit"].maps) > set(files["cnn"].maps)


def test_maps_tell_a_trained_network_from_a_randomised_one(files: dict[str, MapFile]) -> None:
    for name in ("cnn", "vit", "cnn3d", "pointnet"):
        file = files[name]
        assert set(file.randomised) == set(file.maps) - {"random-map", "constant-map"}
        for method, maps in file.randomised.items():
            assert not np.array_equal(maps, file.maps[method])


def test_seeds_make_other_maps(files: dict[str, MapFile]) -> None:
    for first, second in (
        ("cnn", "cnn-1"),
        ("cnn-1", "cnn-2"),
        ("pointnet", "pointnet-1"),
        ("pointnet-1", "pointnet-2"),
    ):
        assert list(files[first].maps) == list(files[second].maps)
        assert not np.allclose(files[first].maps["saliency"], files[second].maps["saliency"])


def test_saliency_is_the_gradient_of_the_network(
    protocol: LoadedBenchmark, benchmark: AttributionMetricBenchmark, files
) -> None:
    """The maps belong to the networks that metrics are given, up to half precision and another processor."""
    source = open_source(protocol)
    for stored in benchmark.source.maps:
        model = next(each for each in benchmark.source.models if each.id == stored.model)
        samples = source.samples(stored.samples)
        inputs = torch.from_numpy(samples.inputs[:3]).requires_grad_(True)
        logits = built(source, model, "cpu").network(inputs)
        logits.gather(1, torch.from_numpy(samples.targets[:3])[:, None]).sum().backward()
        assert inputs.grad is not None
        expected = inputs.grad.abs().mean(dim=1, keepdim=True).numpy()
        found = files[stored.model].maps["saliency"][:3]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * expected.max())


def test_reference_scores_are_scores_of_these_maps(
    benchmark: AttributionMetricBenchmark, files: dict[str, MapFile]
) -> None:
    for name in ("cnn", "vit", "cnn3d", "pointnet"):
        file = files[name]
        assert set(file.reference) == set(METRICS) == {m for names in benchmark.reference.values() for m in names}
        for place, (method, maps) in enumerate(file.maps.items()):
            if method in DRAWING:
                continue
            inputs = torch.from_numpy(maps)
            scores = Sparseness()(
                _Plain().eval(), inputs, torch.zeros(len(maps), dtype=torch.int64), inputs, generator=SEED
            )
            np.testing.assert_allclose(scores.numpy(), file.reference["sparseness"][place], atol=5e-3)
    assert not files["cnn-1"].reference


SEED = torch.Generator().manual_seed(0)


class _Plain(torch.nn.Module):
    """A network that answers, for a metric that does not look."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(1)[:, :2]


def test_the_board_has_every_baseline(protocol: LoadedBenchmark, board: Board) -> None:
    assert {each.method for each in board.rows} == set(baseline_names("attribution-metric"))
    assert board.unranked == ()
    # LATEC replaces one slice of a volume only, so that its IROF says nothing of volumes (`irof-latec` declares it).
    assert {each.method: each.units for each in board.rows if each.units != "8/8"} == {"irof-latec": "7/7"}


def test_chance_is_at_the_bottom(board: Board) -> None:
    chance = row(board, "random-score")
    assert chance.reference
    for column, none in (("agreement", 0), ("power", 0), ("sanity", 0), ("randomisation", 0), ("stability", 42)):
        assert chance.cells[column].value == pytest.approx(none, abs=15), column
    assert all(each.cells[OVERALL].value > chance.cells[OVERALL].value for each in board.rows if each is not chance)


def test_the_board_is_what_its_submissions_give(protocol: LoadedBenchmark, board: Board) -> None:
    again = build_board(protocol)
    folder = protocol.path.parent
    assert again == board
    assert (folder / "board.csv").read_text() == board_csv(again)
    assert (folder / "board.md").read_text() == board_markdown(again, protocol.benchmark)
    assert len(read_standings(protocol).complete) == len(board.rows)
