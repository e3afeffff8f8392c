"""Held-out cases with truth and prediction: slices show what was scored, or say that they cannot."""

import numpy as np
import pytest

from harness.metrics.segmentation import segmentation_counts
from harness.storage import IntegrityError
from harness.tracks.query.listing import query_listing
from harness.tracks.query.segmentation.kept import keep_segmentation
from harness.tracks.query.segmentation.slices import _places
from harness.tracks.query.track import QueryTrack
from tests.tracks.query.outcomes import method, unit, volumes
from tests.tracks.query.segmentation.support import benchmark, needs, raw_folder, setting

needs("nnunetv2", "SimpleITK")

from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402


@pytest.fixture(scope="module")
def volumes_here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    raw_folder(folder / "raw")
    return setting(benchmark(folder))


@pytest.fixture
def listed(volumes_here, tmp_path):
    """Track, the answers of one campaign, its volumes, and the folder in which what it predicted is kept."""
    track = QueryTrack(volumes_here.protocol, method())
    learner = SegmentationLearner(volumes_here, 1, (), "cpu")
    cases, counts = learner.ledger.cases, []
    for number, name in enumerate(cases.held_out):
        predicted = np.roll(cases.labels(name), 3, axis=1)
        keep_segmentation(tmp_path, number, predicted)
        counts.append(segmentation_counts(predicted, cases.labels(name), 3))
    outputs = {**volumes(np.stack([counts, counts])), "picks.0": learner.start()}
    outputs["picks.1"] = outputs["picks.0"][:3]
    return (
        track,
        {unit("low", 1): {name: each for name, each in outputs.items() if name not in ("picks.2", "picks.3")}},
        learner.ledger,
        tmp_path,
    )


def test_a_case_is_seen_in_slices_with_truth_and_prediction(listed):
    track, answers, ledger, kept = listed
    cases = ledger.cases
    listing = query_listing(track, answers, lambda each: kept)
    assert listing.notes == ()
    rows = [at for at, what in enumerate(listing.columns["what"]) if what == "held-out case"]
    assert [listing.columns["case"][at] for at in rows] == np.repeat(cases.held_out, 2).tolist()
    assert [listing.columns["class"][at] for at in rows] == ["shell", "core"] * len(cases.held_out)
    for at in rows:
        cards = listing.cards(at)
        assert 1 <= len(cards) <= 9
        assert sum(card.marked for card in cards) == 1
        assert all([each.label for each in card.pictures] == ["image", "truth", "prediction"] for card in cards)
        # The marked slice has most wrong voxels: found by going through all of them.
        number = 1 + ["shell", "core"].index(listing.columns["class"][at])
        truth = np.asarray(cases.labels(listing.columns["case"][at])) == number
        wrong = [(np.roll(truth, 3, axis=1)[z] != truth[z]).sum() for z in range(16)]
        shown = int(next(card for card in cards if card.marked).caption.split()[1]) - 1
        assert wrong[shown] == max(wrong)
    bought = [at for at, what in enumerate(listing.columns["what"]) if what == "bought in loop 1"]
    assert len(bought) == 3
    assert "with the patch at" in listing.cards(bought[0])[0].pictures[0].alt


def test_without_kept_segmentations_the_truth_is_shown_and_the_page_says_so(listed, tmp_path):
    track, answers, _, _ = listed
    listing = query_listing(track, answers, lambda each: tmp_path / "nothing")
    assert "no predicted segmentations are kept" in listing.notes[0]
    assert [each.label for each in listing.cards(0)[0].pictures] == ["image", "truth"]


def test_a_segmentation_that_was_not_scored_is_not_shown(listed):
    track, answers, ledger, kept = listed
    cases = ledger.cases
    keep_segmentation(kept, 0, np.zeros_like(cases.labels(cases.held_out[0])))
    with pytest.raises(IntegrityError, match="not the one that was scored"):
        query_listing(track, answers, lambda each: kept).cards(0)
    keep_segmentation(kept, 0, np.zeros((2, 2, 2), int))
    with pytest.raises(IntegrityError, match="not the one that was scored"):
        query_listing(track, answers, lambda each: kept).cards(0)


@pytest.mark.parametrize("axis", [0, 2])
def test_slices_of_a_class_that_is_nowhere_are_the_middle_one(axis):
    nothing = np.zeros((9, 9, 9), bool)
    assert _places(nothing, nothing, axis) == ([4], 4)


def test_a_class_that_is_found_without_error_is_seen_where_there_is_most():
    truth = np.zeros((5, 4, 4), bool)
    truth[1, 0, 0] = truth[3, :2, :2] = True
    assert _places(truth, truth, 0) == ([1, 3], 3)
