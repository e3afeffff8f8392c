"""Strategies that take the best by a score, with and without noise, against slow readings of their rules."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.methods.pool import highest

from .support import RULES, asked, by_position, committee, cut, greedy, image_pool, mean_scores, strategy, volume_pool

TOP = {
    "predictive-entropy": "predictive_entropy",
    "expected-entropy": "expected_entropy",
    "bald": "mutual_information",
    "variation-ratio": "variation_ratio",
    "margin-sampling": "margin",
}
POWERS = {"power-bald": 1, "power-bald-b5": 5, "power-bald-b10": 10, "power-bald-b20": 20, "power-bald-b40": 40}
PATCH = (2, 3, 3)


def volumes(shape=(5, 6, 7), images=3, **how):
    return {f"case {k}": committee(shape, seed=k, **how) for k in range(images)}


@pytest.mark.parametrize("name", TOP)
def test_images_of_highest_score(tmp_path, name):
    probabilities = committee((30,), seed=4)
    best = np.argsort(-by_position(RULES[TOP[name]], probabilities))[:5]
    assert asked(name, image_pool(tmp_path, probabilities, budget=5)) == best.tolist()


@pytest.mark.parametrize("name", TOP)
def test_patches_of_highest_mean_without_overlap(tmp_path, name):
    pool, known = volumes(), {"case 1": [((1, 2, 2), (2, 3, 3))]}
    candidates = []
    for case, probabilities in pool.items():
        scores = mean_scores(by_position(RULES[TOP[name]], probabilities), PATCH)
        chosen = greedy(scores, PATCH, most=2, boxes=known.get(case, []))
        candidates += [(scores[corner], (case, corner)) for corner in chosen]
    best = [place for _, place in sorted(candidates, reverse=True)[:5]]
    meta = volume_pool(tmp_path, pool, annotated=known, max_per_image=2, budget=5)
    assert asked(name, meta) == best


def test_expected_dice(tmp_path):
    pool = volumes(shape=(4, 5, 5), images=2)
    candidates = []
    for case, probabilities in pool.items():
        scores = {}
        for corner in mean_scores(probabilities[0, 0], PATCH):
            members = [[cut(channel, corner, PATCH).astype(float) for channel in member] for member in probabilities]
            mean = np.mean(members, axis=0)
            dice = [
                np.mean([2 * (p * q).sum() / (p + q).sum() for p, q in zip(mean, member, strict=True)])
                for member in members
            ]
            scores[corner] = -np.mean(dice)
        candidates += [(scores[corner], (case, corner)) for corner in greedy(scores, PATCH, most=3)]
    best = [place for _, place in sorted(candidates, reverse=True)[:4]]
    assert asked("expected-dice", volume_pool(tmp_path, pool)) == best


def test_expected_dice_leaves_classes_out_that_are_not_there(tmp_path):
    """Where a class has no probability at all, it is neither agreement nor disagreement."""
    pool = {"case": committee((4, 5, 5))}
    absent = {"case": np.concatenate([pool["case"], np.zeros_like(pool["case"][:, :1])], axis=1)}
    (one := tmp_path / "one").mkdir()
    (other := tmp_path / "other").mkdir()
    assert asked("expected-dice", volume_pool(one, pool, budget=3)) == asked(
        "expected-dice", volume_pool(other, absent, budget=3)
    )


# noise ---------------------------------------------------------------------------------------------


class Captured:
    """A pool that keeps what it was asked."""

    def best(self, score, budget, rng, *, adjust=None):
        self.score, self.adjust = score, adjust
        return range(budget)


@pytest.mark.parametrize(("name", "beta"), [*POWERS.items(), ("power-pe", 1)])
def test_power_noise_is_gumbel_of_scale_one_by_beta_on_the_logarithm(name, beta):
    pool, rng = Captured(), np.random.default_rng(8)
    strategy(name)().query(pool, 3, rng)
    scores = np.geomspace(1e-6, 2, 3000).reshape(30, 100)
    noise = (pool.adjust(scores) - np.log(scores)).ravel()
    assert stats.kstest(noise, stats.gumbel_r(scale=1 / beta).cdf).pvalue > 0.01
    expected = "predictive_entropy" if name == "power-pe" else "mutual_information"
    assert pool.score.__name__ == expected


def test_power_noise_leaves_zero_behind_all_others():
    pool = Captured()
    strategy("power-bald")().query(pool, 3, np.random.default_rng(0))
    adjusted = pool.adjust(np.array([0.0, -1e-17, 1e-300]))
    assert adjusted[:2].tolist() == [-np.inf, -np.inf]
    assert np.isfinite(adjusted[2])


def test_power_pe_draws_in_proportion_to_its_scores(tmp_path):
    """Two of four images: the probabilities of draws without replacement, s_i / S * s_j / (S - s_i)."""
    sure = np.array([0.999, 0.9, 0.7, 0.5])
    probabilities = np.stack([sure, 1 - sure])[None].astype(np.float32)
    scores = by_position(RULES["predictive_entropy"], probabilities)
    meta = image_pool(tmp_path, probabilities, budget=2)
    runs = 1000
    found = [tuple(asked("power-pe", meta, entropy=[0, 1, k])) for k in range(runs)]
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    share = [scores[i] / scores.sum() * scores[j] / (scores.sum() - scores[i]) for i, j in pairs]
    keep = [k for k, p in enumerate(share) if p * runs >= 5]
    observed = [found.count(pairs[k]) for k in keep]
    rest = 1 - sum(share[k] for k in keep)
    expected = [share[k] * runs for k in keep] + [rest * runs]
    assert stats.chisquare([*observed, runs - sum(observed)], expected).pvalue > 0.01


def test_softrank_draws_in_proportion_to_the_inverse_rank(tmp_path):
    probabilities = committee((4,), seed=2)
    order = np.argsort(-by_position(RULES["mutual_information"], probabilities)).tolist()
    meta = image_pool(tmp_path, probabilities, budget=1)
    runs = 1000
    found = [asked("softrank-bald", meta, entropy=[0, 1, k])[0] for k in range(runs)]
    share = np.array([1, 1 / 2, 1 / 3, 1 / 4])
    expected = share / share.sum() * runs
    assert stats.chisquare([found.count(image) for image in order], expected).pvalue > 0.01


def test_softrank_lets_twice_as_many_patches_of_an_image_compete(tmp_path):
    """Of one image with at most 2 patches, 4 candidates: over the seeds, all four of them are asked for, and no other."""
    pool = {"case": committee((6, 6, 6))}
    scores = mean_scores(by_position(RULES["mutual_information"], pool["case"]), PATCH)
    four = greedy(scores, PATCH, most=4)
    meta = volume_pool(tmp_path, pool, max_per_image=2, budget=2)
    found = {corner for k in range(40) for _, corner in asked("softrank-bald", meta, entropy=[0, 1, k])}
    assert found == set(four)


def test_equal_scores_are_drawn_not_taken_by_position():
    draws = np.array([highest(np.array([1.0, 2.0, 1.0, 1.0]), 2, np.random.default_rng(k)) for k in range(600)])
    assert (draws[:, 0] == 1).all()
    assert stats.chisquare([np.count_nonzero(draws[:, 1] == k) for k in (0, 2, 3)]).pvalue > 0.01
