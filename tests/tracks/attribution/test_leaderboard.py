"""Robust ranks against a pool: known orders, newcomers that move nobody, exemptions, sanity rows."""

from __future__ import annotations

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.spec.method import AttributionMethod
from harness.tracks.attribution.leaderboard import OVERALL, AttributionLeaderboard
from harness.tracks.leaderboard import Entry
from tests.tracks.attribution.support import BENCHMARK, write_benchmark
from tests.tracks.support import cells_of, tied_with

HIGHER = ("faithfulness_estimate", "sparseness", "relevance_mass")
POOL = ("best", "good", "fair")


@pytest.fixture
def board(tmp_path):
    text = BENCHMARK.replace('["input-x-gradient", "saliency"]', str(list(POOL)).replace("'", '"'))
    return AttributionLeaderboard(load_protocol(write_benchmark(tmp_path, text)))


def entry(name, quality, reference=False, seed=0, **changes):
    """Scores around `quality`; the scatter is the same for all."""
    method = AttributionMethod(
        task="attribution", name=name, version="1", origin="file", target="f.py:f", symbol="f",
        source_sha256="0" * 64, reference=reference,
    )  # fmt: skip
    noise = np.random.default_rng(seed).normal(size=(4, 30)) * 0.01
    arrays = {f"test--small--{metric}": quality + row for metric, row in zip(HIGHER, noise, strict=False)}
    arrays["test--small--local_lipschitz"] = noise[3] - quality
    return Entry(method, {**arrays, **changes}, 1, 1)


def pool():
    return [entry("best", 3.0), entry("good", 2.0), entry("fair", 1.0)]


def test_columns_are_criteria_and_their_mean(board):
    assert board.columns == ("faithfulness", "complexity", "localisation", "robustness", OVERALL)


def test_clear_orders_have_whole_ranks_and_no_spread(board):
    for cells in cells_of(board, pool()).values():
        assert {name: cell.rank for name, cell in cells.items()} == {"best": 1, "good": 2, "fair": 3}
        assert {name: cell.value for name, cell in cells.items()} == {"best": 1.0, "good": 2.0, "fair": 3.0}
        assert {name: cell.group for name, cell in cells.items()} == {"best": 1, "good": 2, "fair": 3}
        assert all(cell.spread in (0.0, None) and cell.low == cell.value == cell.high for cell in cells.values())


@pytest.mark.parametrize("quality", [0.0, 1.5, 2.5, 9.0])
def test_a_newcomer_gets_its_own_rank_and_moves_nobody(board, quality):
    before, after = cells_of(board, pool()), cells_of(board, [*pool(), entry("new", quality), entry("other", 2.2)])
    for column, cells in before.items():
        assert {name: after[column][name] for name in POOL} == cells
        assert after[column]["new"].value == 1 + sum(quality < other for other in (3.0, 2.0, 1.0))


def test_metrics_that_disagree_spread(board):
    mixed = entry("mixed", 2.5)
    arrays = {**mixed.arrays, "test--small--sparseness": mixed.arrays["test--small--sparseness"] - 9}
    cells = cells_of(board, [*pool(), Entry(mixed.method, arrays, 1, 1)])
    assert cells["faithfulness"]["mixed"].value == 2.0
    assert cells["complexity"]["mixed"].value == 4.0
    assert cells[OVERALL]["mixed"].value == 3.0, "the mean over the criteria that count"


def test_sanity_rows_are_placed_but_not_ranked(board):
    cells = cells_of(board, [*pool(), entry("random", -5.0, reference=True)])
    for column in board.columns:
        assert cells[column]["random"].value == 4.0
        assert cells[column]["random"].rank is None
    assert "random" not in tied_with(board, [*pool(), entry("random", 3.0, reference=True)], "best")[OVERALL]


def test_a_method_without_a_metric_of_a_criterion_has_no_place_there(board):
    gap = np.full(30, np.nan)
    cells = cells_of(board, [*pool(), entry("new", 2.5, **{"test--small--sparseness": gap})])
    assert "new" not in cells["complexity"]
    assert "new" not in cells[OVERALL]
    assert cells["faithfulness"]["new"].value == 2.0


def test_samples_that_are_undefined_for_everybody_cost_nobody(board):
    def with_gap(each):
        arrays = {name: np.where(np.arange(30) < 4, np.nan, values) for name, values in each.arrays.items()}
        return Entry(each.method, arrays, 1, 1)

    cells = cells_of(board, [with_gap(each) for each in pool()])
    assert {name: cell.rank for name, cell in cells[OVERALL].items()} == {"best": 1, "good": 2, "fair": 3}


def test_ties_are_found_by_paired_differences(board):
    twin = entry("twin", 2.0)
    tied = tied_with(board, [*pool(), twin], "twin")
    assert all(names == ("good",) for names in tied.values())
    apart = tied_with(board, [*pool(), entry("new", 2.5)], "new")
    assert all(names == () for names in apart.values())


def test_only_whole_kinds_are_exempt(board):
    from harness.spec.run import Unit

    def unit(study):
        hashes = dict.fromkeys(("benchmark_hash", "method_hash", "artefacts_hash", "metrics_hash"), "0" * 64)
        return Unit(
            task="attribution", model="small", model_seed=0, study=study, seed=0, device="cpu", limit=None, **hashes
        )

    assert board.exempt([unit("test")]) == [unit("test")], "it applies to no network of this kind"
    assert board.exempt([]) == []


def test_a_method_owes_single_networks_that_it_leaves_out():
    from harness.data.catalog import find_protocol
    from harness.spec.run import Unit

    def unit(model, study):
        hashes = dict.fromkeys(("benchmark_hash", "method_hash", "artefacts_hash", "metrics_hash"), "0" * 64)
        return Unit(
            task="attribution", model=model, model_seed=0, study=study, seed=0, device="cpu", limit=None, **hashes
        )

    embedded = AttributionLeaderboard(find_protocol("attribution-mnist@1"))
    cnns = [unit(model, study) for model in ("cnn", "resnet") for study in ("image", "image-distractor")]
    assert embedded.exempt(cnns) == cnns, "no image CNN at all"
    assert embedded.exempt(cnns[:2]) == [], "one of the two image CNNs only"
    assert embedded.exempt(cnns[:3]) == [], "one study of the other is scored"


def test_the_order_of_entries_changes_nothing(board):
    everyone = [*pool(), entry("new", 1.7)]
    assert cells_of(board, everyone) == cells_of(board, everyone[::-1])
