"""Samples of a run of a query strategy: errors and what was bought; of volumes that are not here, numbers alone."""

from pathlib import Path

import numpy as np
import pytest

from harness.tracks.query.classification.data import Images
from harness.tracks.query.listing import query_listing
from tests.tracks.query.outcomes import (
    LOOPS,
    QUERY,
    START,
    benchmark,
    images,
    random_counts,
    study,
    track_of,
    unit,
    volumes,
)

RNG = np.random.default_rng(4)
NOWHERE = Path("/nowhere")


def rows_of(listing, **wanted):
    rows = [dict(zip(listing.columns, each, strict=True)) for each in zip(*listing.columns.values(), strict=True)]
    return [(at, row) for at, row in enumerate(rows) if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture
def data(monkeypatch):
    targets = RNG.integers(3, size=50)
    made = Images(
        *(RNG.normal(size=(40, 1, 5, 5)), RNG.integers(3, size=40)),
        *(RNG.normal(size=(5, 1, 5, 5)), RNG.integers(3, size=5)),
        *(RNG.normal(size=(50, 1, 5, 5)), targets),
        3,
        False,
        np.array([-2.0]),
        np.array([2.0]),
    )
    monkeypatch.setattr("harness.tracks.query.classification.data.open_images", lambda setting, seed=0: made)
    return made


def campaigns(seeds):
    found = {}
    for seed in seeds:
        outputs = images(RNG.integers(3, size=(LOOPS, 50)))
        outputs |= {f"picks.{loop}": RNG.integers(40, size=(QUERY if loop else START, 1)) for loop in range(LOOPS)}
        found[unit("low", seed)] = outputs
    return found


def test_test_images_that_stay_wrong_are_listed_and_what_was_bought(data):
    track = track_of(benchmark([study("low", volumes=False)], performance="accuracy"), data.test_targets)
    answers = campaigns((1, 2, 3))
    listing = query_listing(track, answers, lambda each: NOWHERE)
    wrong = {key: each["evaluation.predictions"] != data.test_targets for key, each in answers.items()}
    for key, of in wrong.items():
        mine = rows_of(listing, what="wrong at the end", network=key.model)
        assert [row["image"] for _, row in mine] == np.flatnonzero(of[-1]).tolist()
        for place, row in mine:
            image = row["image"]
            assert row["wrong in loops"] == of[:, image].sum()
            assert row["networks that err"] == sum(other[-1, image] for other in wrong.values())
            assert row["at the start"] == ("wrong" if of[0, image] else "right")
            assert row["predicted"] == answers[key]["evaluation.predictions"][-1, image]
            assert listing.cards(place)[0].pictures[0].alt == f"test image {image} of class {row['class']}"
        bought = rows_of(listing, what="bought in loop 2", network=key.model)
        assert [row["image"] for _, row in bought] == answers[key]["picks.2"][:, 0].tolist()
        assert [row["class"] for _, row in bought] == data.pool_targets[answers[key]["picks.2"][:, 0]].tolist()
        assert len(rows_of(listing, what="bought at the start", network=key.model)) == START


def test_a_network_without_errors_leaves_what_was_bought(data):
    track = track_of(benchmark([study("low", volumes=False)], performance="accuracy", seeds=(1,)), data.test_targets)
    (answers,) = [campaigns((1,))]
    answers[unit("low", 1)]["evaluation.predictions"] = np.tile(data.test_targets, (LOOPS, 1)).astype(np.uint8)
    listing = query_listing(track, answers, lambda each: NOWHERE)
    assert {row["what"] for _, row in rows_of(listing)} == {
        "bought at the start", *(f"bought in loop {loop}" for loop in range(1, LOOPS)),
    }  # fmt: skip
    assert query_listing(track, {}, lambda each: NOWHERE) is None


def test_of_volumes_that_are_not_here_there_are_numbers():
    track = track_of(benchmark([study("low")], seeds=(1,)))
    counts = random_counts(RNG, 0.5)
    listing = query_listing(track, {unit("low", 1): volumes(counts)}, lambda each: NOWHERE)
    held_out = rows_of(listing, what="held-out case")
    assert len(held_out) == 8 * 2
    for place, row in held_out:
        case, number = int(row["case"].split()[1]), int(row["class"].split()[1])
        tp, fp, fn, _ = counts[-1, case, number].tolist()
        dice = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
        assert row["Dice"] == (None if dice is None else pytest.approx(dice, abs=5e-5))
        assert (row["missed voxels"], row["wrongly predicted voxels"], row["true voxels"]) == (fn, fp, tp + fn)
        assert listing.cards(place) == ()
    assert "cannot be opened" in listing.notes[0]
    assert next(iter(listing.orders.items())) == ("Dice", False)
