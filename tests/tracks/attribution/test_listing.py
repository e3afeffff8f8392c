"""Samples of a run of an XAI method: one row each, with how far metrics disagree."""

import numpy as np
import pytest
from scipy.stats import rankdata

from harness.statistics.agreement import places_of, rank_spread
from harness.tracks.attribution.listing import attribution_listing
from tests.tracks.attribution.support import GRADIENT, answer


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    return answer(tmp_path_factory.mktemp("listing"), GRADIENT)


def test_disagreement_is_the_spread_of_the_places(asked):
    track, unit, outputs = asked
    listing = attribution_listing(track, {unit: outputs}, {unit: outputs["maps"]})
    signs = {"faithfulness_estimate": -1, "sparseness": -1, "relevance_mass": -1, "local_lipschitz": 1}
    costs = [sign * outputs[f"score.{name}"] for name, sign in signs.items()]
    assert all(np.isfinite(each).all() for each in costs)
    places = np.array([(rankdata(each) - 1) / (len(each) - 1) for each in costs])
    assert listing.columns["disagreement"] == pytest.approx(places.std(axis=0), abs=6e-5)
    assert next(iter(listing.orders.items())) == ("disagreement", True)
    assert listing.columns["sparseness"] == pytest.approx(outputs["score.sparseness"], abs=1e-6)
    for row, (best, worst) in enumerate(
        zip(listing.columns["best place"], listing.columns["worst place"], strict=True)
    ):
        names = list(signs)
        assert places[names.index(best.split()[0]), row] == places[:, row].min()
        assert places[names.index(worst.split()[0]), row] == places[:, row].max()


def test_each_row_has_its_three_pictures_and_what_the_network_says(asked):
    track, unit, outputs = asked
    listing = attribution_listing(track, {unit: outputs}, {unit: outputs["maps"]})
    samples = track.samples(unit)
    assert listing.columns["class"] == samples.targets.tolist()
    wrong = [a != b for a, b in zip(listing.columns["class"], listing.columns["predicted"], strict=True)]
    for row, marked in enumerate(wrong):
        (card,) = listing.cards(row)
        assert [each.label for each in card.pictures] == ["input", "map", "overlay"]
        assert card.marked == marked == (listing.columns["decision"][row] == "wrong")
        assert listing.columns["p(class)"][row] <= listing.columns["p(predicted)"][row]


def test_without_maps_there_are_rows_without_pictures_and_without_answers_no_listing(asked):
    track, unit, outputs = asked
    scores = {name: each for name, each in outputs.items() if name != "maps"}
    assert attribution_listing(track, {unit: scores}, {}).cards(0) == ()
    assert attribution_listing(track, {}, {}) is None


def test_places_leave_out_what_is_not_defined():
    costs = np.array([[3.0, 1.0, np.nan, 2.0], [5.0, 5.0, 5.0, 5.0], [np.inf, 1.0, np.nan, 2.0]])
    places = places_of(costs)
    assert places[0, [0, 1, 3]].tolist() == [1.0, 0.0, 0.5]
    assert places[1].tolist() == [0.5] * 4
    assert np.isnan(places[[0, 2, 2], [2, 0, 2]]).all()
    spread = rank_spread(costs)
    assert spread[0] == pytest.approx(np.std([1.0, 0.5]))
    assert np.isnan(spread[2])  # one metric alone


def test_metrics_that_put_a_sample_first_and_last_disagree_most():
    assert rank_spread(np.array([[0.0, 1.0], [1.0, 0.0]])).tolist() == [0.5, 0.5]
    assert rank_spread(np.array([[0.0, 1.0], [2.0, 3.0]])).tolist() == [0.0, 0.0]
