"""BatchBALD against the enumeration of all labels of a batch."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from harness.methods.baselines.query import batch_bald
from harness.methods.baselines.query.batch_bald import JointLabels

from .support import RULES, asked, by_position, committee, entropy, image_pool


def joint_entropy(members):
    """Of the labels of images (n, members, classes): all configurations, one by one."""
    total = 0.0
    for labels in product(range(members.shape[2]), repeat=len(members)):
        p = np.mean(np.prod([image[:, label] for image, label in zip(members, labels, strict=True)], axis=0))
        total -= p * np.log(p) if p > 0 else 0
    return total


def information(members):
    """Mutual information of the labels of a batch and the member."""
    return joint_entropy(members) - sum(np.mean([entropy(p) for p in image]) for image in members)


def rows(probabilities):
    return probabilities.astype(np.float64).transpose(2, 0, 1)


def test_joint_entropy_is_that_of_the_enumeration():
    members = rows(committee((6,), members=4))
    joint, rng = JointLabels(4), np.random.default_rng(0)
    known = 0.0
    for count in range(4):
        gained = joint.conditional_entropy(members)
        expected = [joint_entropy(members[[*range(count), k]]) - known for k in range(6)]
        assert gained == pytest.approx(expected, abs=1e-6)  # probabilities are float32 and sum to 1 as such
        joint.extend(members[count], rng)
        known = joint_entropy(members[: count + 1])


def test_labels_that_cannot_be_cost_nothing():
    """Members that are sure: of nine configurations of two images, one a member is left."""
    sure = np.eye(3)[None].repeat(2, axis=0)
    joint = JointLabels(3)
    for image in sure:
        joint.extend(image, np.random.default_rng(0))
    assert sorted(joint.probability) == pytest.approx([1 / 3] * 3)
    assert joint.conditional_entropy(sure) == pytest.approx([0, 0])


def test_sampled_entropy_comes_near_the_enumeration(monkeypatch):
    """The entropy given a configuration lies in [0, ln 3]: 0.02 are five standard errors of its mean over 20,000."""
    members, rng = rows(committee((6,), members=4)), np.random.default_rng(0)
    exact = JointLabels(4)
    for image in members[:4]:
        exact.extend(image, rng)
    monkeypatch.setattr(batch_bald, "CONFIGURATIONS", 20_000)
    sampled = JointLabels(4)
    sampled.exact, sampled.probability = False, np.full(20_000, 1 / 20_000)
    sampled.posterior = np.full((20_000, 4), 1 / 4)
    for image in members[:4]:
        sampled.extend(image, rng)
    assert exact.exact
    assert sampled.conditional_entropy(members) == pytest.approx(exact.conditional_entropy(members), abs=0.02)


def test_sampling_begins_where_configurations_become_too_many(monkeypatch):
    monkeypatch.setattr(batch_bald, "CONFIGURATIONS", 9)
    members, rng = rows(committee((3,), members=4)), np.random.default_rng(0)
    joint = JointLabels(4)
    for image, exact in zip(members, (True, True, False), strict=True):
        joint.extend(image, rng)
        assert joint.exact == exact
        assert len(joint.probability) <= 9
        assert joint.probability.sum() == pytest.approx(1)
        assert joint.posterior.sum(axis=1) == pytest.approx(np.ones(len(joint.posterior)))


def greedy(members, budget):
    chosen = []
    for _ in range(budget):
        gains = {k: information(members[[*chosen, k]]) for k in range(len(members)) if k not in chosen}
        chosen.append(max(gains, key=gains.get))
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_the_batch_is_the_greedy_one(tmp_path, seed):
    probabilities = committee((9,), members=4, seed=seed)
    expected = greedy(rows(probabilities), 4)
    assert asked("batch-bald", image_pool(tmp_path, probabilities, budget=4)) == expected
    assert expected[0] == np.argmax(by_position(RULES["mutual_information"], probabilities))


def test_gains_that_are_not_looked_at_again_change_nothing(monkeypatch, tmp_path):
    """One image at a time, and only as many as it takes, against all gains brought up to date."""
    for seed in range(5):
        meta = image_pool(tmp_path, committee((60,), members=6, seed=seed), budget=5)
        monkeypatch.setattr(batch_bald, "_AT_ONCE", 1)
        lazy = asked("batch-bald", meta)
        monkeypatch.setattr(batch_bald, "_AT_ONCE", 60)
        assert asked("batch-bald", meta) == lazy


def test_copies_of_one_image_are_not_all_asked_for(tmp_path):
    """Images 0 and 1 tell members 0 and 1 from 2 and 3, image 2 tells 0 and 2 from 1 and 3, with less certainty."""
    first = np.array([[0.99, 0.99, 0.95], [0.99, 0.99, 0.05], [0.01, 0.01, 0.95], [0.01, 0.01, 0.05]])
    probabilities = np.stack([first, 1 - first], axis=1)
    meta = image_pool(tmp_path, probabilities, budget=2)
    assert set(asked("bald", meta)) == {0, 1}
    batch = asked("batch-bald", meta)
    assert batch[0] in (0, 1)
    assert batch[1] == 2


@pytest.mark.parametrize("probabilities", [committee((60,), members=1), np.full((3, 3, 60), 1 / 3), committee((60,))])
def test_long_batches_are_whole(tmp_path, monkeypatch, probabilities):
    """Also where nothing is to be gained, and long after the labels are sampled."""
    monkeypatch.setattr(batch_bald, "CONFIGURATIONS", 500)
    found = asked("batch-bald", image_pool(tmp_path, probabilities, budget=40))
    assert len(set(found)) == 40


def test_what_is_left_when_nothing_can_be_gained_are_the_best_by_themselves(monkeypatch, tmp_path):
    """Two images tell the four members apart for certain; what follows is ordered by mutual information alone."""
    monkeypatch.setattr(batch_bald, "CONFIGURATIONS", 2)  # sampled from the second image on
    certain = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    probabilities = np.concatenate([committee((6,), members=4, classes=2), np.zeros((4, 2, 2))], axis=2)
    probabilities[:, 0, 6:], probabilities[:, 1, 6:] = certain, 1 - certain
    alone = by_position(RULES["mutual_information"], probabilities[:, :, :6])
    found = asked("batch-bald", image_pool(tmp_path, probabilities, budget=6))
    assert set(found[:2]) == {6, 7}
    assert found[2:] == np.argsort(-alone)[:4].tolist()
