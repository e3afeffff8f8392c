"""The pool that a strategy sees: what it reads, what it refuses, and what must not change a query."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harness.methods.answers import UnusableAnswerError
from harness.methods.outputs import NotOfferedError
from harness.tracks.query import PatchGrid, select_patches
from harness.tracks.query.pools import open_pool
from tests.methods.query.support import committee, corners, cut, greedy, image_pool, mean_scores, volume_pool

PATCH = (2, 3, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


def uncertain(probabilities):
    return 1 - probabilities.mean(dim=0).amax(dim=0)


@pytest.fixture
def volumes(tmp_path):
    cases = {name: committee((5, 6, 7), seed=k) for k, name in enumerate(("b", "c", "a"))}
    known = {"a": [((1, 1, 1), PATCH)]}
    labels = {name: np.full((5, 6, 7), k, dtype=np.int16) for k, name in enumerate(cases)}
    return volume_pool(tmp_path, cases, annotated=known, labels=labels)


@pytest.fixture
def images(tmp_path):
    features = rng().normal(size=(20, 4))
    return image_pool(tmp_path, committee((20,)), features=features, labelled_features=features[:2], targets=[2, 0])


# reading ---------------------------------------------------------------------------------------------


def test_images_are_described(images):
    pool = open_pool(images | {"loop": 2})
    assert (pool.task, pool.size, pool.classes, pool.loop, pool.loops) == ("classification", 20, 3, 2, 5)
    assert pool.probabilities.shape == (3, 3, 20)
    assert pool.probabilities.dtype == torch.float32
    assert pool.features.shape == (20, 4)
    assert pool.labelled_features.shape == (2, 4)
    assert pool.labelled_targets.tolist() == [2, 0]


def test_volumes_are_described_in_the_order_of_their_names(volumes):
    pool = open_pool(volumes)
    assert (pool.task, pool.patch_size, pool.stride, pool.max_per_image) == ("segmentation", PATCH, (1, 1, 1), 3)
    assert [image.name for image in pool.images] == ["a", "b", "c"]
    assert pool.annotated == {"a": [((1, 1, 1), PATCH)], "b": [], "c": []}
    assert [int(image.labels[0, 0, 0]) for image in pool.images] == [2, 0, 1], "each has its own file"


def test_the_seed_is_that_of_the_campaign(images):
    assert open_pool(images | {"entropy": [9, 12345, 2]}).seed == 12345


def test_what_a_strategy_does_to_an_array_reaches_nobody(volumes, images):
    for meta in (volumes, images):
        pool = open_pool(meta)
        holder = pool.images[0] if pool.task == "segmentation" else pool
        before = holder.probabilities.clone()
        holder.probabilities.mul_(0)
        assert torch.equal(holder.probabilities, before)
        assert torch.equal((open_pool(meta).images[0] if holder is not pool else open_pool(meta)).probabilities, before)


@pytest.mark.parametrize("part", ["features", "labelled_features", "inputs", "labelled_inputs"])
def test_parts_of_images_that_were_not_declared(images, part):
    need = part.removeprefix("labelled_")
    with pytest.raises(NotOfferedError, match=rf'declare needs=\("{need}",\)'):
        getattr(open_pool(images | {"needs": []}), part)


def test_parts_of_volumes_that_were_not_declared(volumes):
    pool = open_pool(volumes)
    with pytest.raises(NotOfferedError, match=r'declare needs=\("inputs",\)'):
        _ = pool.images[0].image
    with pytest.raises(NotOfferedError, match=r'declare needs=\("features",\)'):
        pool.candidates(uncertain, rng()).features()


def test_parts_that_the_benchmark_does_not_have(images):
    with pytest.raises(NotOfferedError, match="does not offer inputs"):
        _ = open_pool(images | {"needs": ["inputs"]}).inputs


# choosing --------------------------------------------------------------------------------------------


def test_patches_are_those_of_the_published_selection(volumes):
    pool = open_pool(volumes)
    maps = {image.name: uncertain(image.probabilities).numpy() for image in pool.images}
    grid = PatchGrid(PATCH, (1, 1, 1), 3)
    expected = [(p.image, p.corner) for p in select_patches(maps, grid, pool.annotated, 5, rng())]
    assert pool.best(uncertain, 5, rng()) == expected


def test_adjust_acts_on_means_before_the_choice(volumes):
    """Turned upside down, the greedy choice is another one, not the same from the other end."""
    image = open_pool(volumes).images[1]
    scores = mean_scores(uncertain(image.probabilities).numpy().astype(float), PATCH)
    found = open_pool(volumes).candidates(uncertain, rng(), adjust=lambda means: -means)
    chosen = [corner for name, corner in found.take(range(len(found.scores))) if name == image.name]
    assert chosen == greedy({corner: -value for corner, value in scores.items()}, PATCH, most=3)


def test_adjust_sees_one_image_after_the_other_by_name(volumes):
    seen = []
    open_pool(volumes).best(uncertain, 4, rng(), adjust=lambda means: seen.append(means[0, 0, 0]) or means)
    corner = [cut(uncertain(i.probabilities).numpy(), (0, 0, 0), PATCH).mean() for i in open_pool(volumes).images]
    assert seen == pytest.approx(corner)


def test_minus_infinity_is_behind_all_others(volumes, images):
    def logarithm(scores):
        with np.errstate(divide="ignore"):
            return np.log(np.where(np.arange(scores.size).reshape(scores.shape) % 7, scores, 0))

    candidates = open_pool(images).candidates(uncertain, rng(), adjust=logarithm)
    assert np.flatnonzero(candidates.scores < -1e300).tolist() == [0, 7, 14]
    assert set(open_pool(images).best(uncertain, 17, rng(), adjust=logarithm)) == set(range(20)) - {0, 7, 14}
    assert len(open_pool(volumes).best(uncertain, 5, rng(), adjust=logarithm)) == 5


def test_constant_scores_are_drawn(images, tmp_path):
    def same(probabilities):
        return torch.zeros(probabilities.shape[2:])

    first = [open_pool(images).best(same, 1, rng(k))[0] for k in range(800)]
    assert stats.chisquare(np.bincount(first, minlength=20)).pvalue > 0.01
    meta = volume_pool(tmp_path, {name: committee((2, 3, 6)) for name in "ab"}, max_per_image=1)
    spots = [open_pool(meta).best(same, 1, rng(k))[0] for k in range(800)]
    everywhere = [(name, corner) for name in "ab" for corner in corners((2, 3, 6), PATCH)]
    assert stats.chisquare([spots.count(spot) for spot in everywhere]).pvalue > 0.01


def test_factor_lets_more_patches_of_an_image_through(volumes):
    pool = open_pool(volumes | {"max_per_image": 2})
    assert len(pool.candidates(uncertain, rng()).scores) == 6
    assert len(pool.candidates(uncertain, rng(), factor=2).scores) == 12


def test_features_of_patches_are_means_over_their_voxels(tmp_path):
    """A coarse grid of 2 x 3 x 4 cells over 5 x 6 x 7 voxels, brought to 420 cells an axis to be counted."""
    coarse = rng(1).normal(size=(3, 2, 3, 4))
    meta = volume_pool(tmp_path, {"a": committee((5, 6, 7))}, features={"a": coarse})
    found = open_pool(meta).candidates(uncertain, rng())
    fine = [np.repeat(np.arange(cells), 420 // cells) for cells in (2, 3, 4)]
    for (_, corner), row in zip(found.take(range(len(found.scores))), found.features(), strict=True):
        inside = [
            cells[c * 420 // n : (c + p) * 420 // n]
            for cells, c, p, n in zip(fine, corner, PATCH, (5, 6, 7), strict=True)
        ]
        shares = [np.bincount(cells, minlength=k) / len(cells) for cells, k in zip(inside, (2, 3, 4), strict=True)]
        assert row == pytest.approx(np.einsum("dzyx,z,y,x->d", coarse, *shares), abs=1e-5)


def test_patches_keep_away_from_those_that_are_taken(volumes):
    image = open_pool(volumes).images[0]
    means = image.patch_means(uncertain(image.probabilities))
    scores = mean_scores(uncertain(image.probabilities).numpy().astype(float), PATCH)
    expected = greedy(scores, PATCH, most=2, taken=[(3, 3, 4)], boxes=image.annotated)
    before = means.copy()
    found = image.patches(means, rng(), limit=2, taken=[(3, 3, 4)])
    assert [corner for corner, _ in found] == expected
    assert [score for _, score in found] == pytest.approx([scores[corner] for corner in expected])
    assert np.array_equal(means, before), "the caller's array stays"


def test_patches_keep_away_from_what_is_annotated(volumes):
    """The best patch of each image is annotated: none of it is asked for again."""
    best = dict(open_pool(volumes | {"max_per_image": 1}).best(uncertain, 3, rng()))
    for image in volumes["images"]:
        image["annotated"] = [(best[image["name"]], PATCH)]
    pool = open_pool(volumes)
    for image in pool.images:
        scores = mean_scores(uncertain(image.probabilities).numpy().astype(float), PATCH)
        found = image.patches(image.patch_means(uncertain(image.probabilities)), rng())
        assert [corner for corner, _ in found] == greedy(scores, PATCH, most=3, boxes=[(best[image.name], PATCH)])


def test_volumes_smaller_than_a_patch_are_one(tmp_path):
    meta = volume_pool(tmp_path, {"a": committee((2, 2, 2)), "b": committee((1, 4, 3))}, patch=(3, 3, 3), budget=3)
    found = open_pool(meta).candidates(uncertain, rng())
    assert set(found.take(range(len(found.scores)))) <= {("a", (0, 0, 0)), ("b", (0, 0, 0)), ("b", (0, 1, 0))}


def test_random_volumes_and_images(volumes, images):
    patches = open_pool(volumes).random(6, rng())
    assert len(set(patches)) == 6
    assert sorted({name for name, _ in patches}) == ["a", "b", "c"], "images take turns"
    assert len(set(open_pool(images).random(20, rng()).tolist())) == 20


# refusing --------------------------------------------------------------------------------------------


def spoilt(value, places):
    def score(probabilities):
        scores = uncertain(probabilities).clone()
        scores.reshape(-1)[:places] = value
        return scores

    return score


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (spoilt(float("nan"), 3), "3 of 210 scores of image 'a' are NaN or infinite"),
        (spoilt(float("inf"), 1), "1 of 210 scores of image 'a' are NaN or infinite"),
        (spoilt(-float("inf"), 2), "2 of 210 scores of image 'a' are NaN or infinite"),
        (lambda p: p, r"its scores of image 'a' have shape \(3, 3, 5, 6, 7\), expected \(5, 6, 7\)"),
        (lambda p: p.mean(), r"have shape \(\), expected"),
        (lambda p: p[0, 0] + 0j, "dtype complex64; scores are real numbers"),
        (lambda p: None, "NoneType, not a tensor or array of numbers"),
        (lambda p: "high", "str, not a tensor or array of numbers"),
    ],
)
def test_unusable_scores(volumes, score, words):
    with pytest.raises(UnusableAnswerError, match=words):
        open_pool(volumes).best(score, 2, rng())


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (spoilt(float("nan"), 3), "3 of 20 scores of the 20 images of the pool are NaN or infinite"),
        (lambda p: p[0], r"have shape \(3, 20\), expected \(20,\)"),
    ],
)
def test_unusable_scores_of_images(images, score, words):
    with pytest.raises(UnusableAnswerError, match=words):
        open_pool(images).best(score, 2, rng())


def test_unusable_adjustments(volumes, images):
    with pytest.raises(UnusableAnswerError, match=r"scores of image 'a', adjusted, are NaN or infinite"):
        open_pool(volumes).best(uncertain, 2, rng(), adjust=lambda s: s * np.nan)
    with pytest.raises(UnusableAnswerError, match=r"have shape \(19,\), expected \(20,\)"):
        open_pool(images).best(uncertain, 2, rng(), adjust=lambda s: s[1:])


def test_scores_of_other_kinds_are_numbers_too(images):
    for score in (lambda p: p[0, 0].half(), lambda p: p[0, 0].numpy() > 0.5, lambda p: p[0, 0].tolist()):
        assert len(open_pool(images).best(score, 2, rng())) == 2
    assert len(open_pool(images).best(lambda p: p[0, 0].requires_grad_(), 2, rng())) == 2


def test_more_than_there_is(volumes, images):
    with pytest.raises(UnusableAnswerError, match=r"only 9 patches .*, at most 3 an image; the budget is 10"):
        open_pool(volumes).best(uncertain, 10, rng())
    with pytest.raises(UnusableAnswerError, match="no image has room for any of the 99 patches"):
        open_pool(volumes).random(99, rng())
    for ask in (lambda pool: pool.best(uncertain, 21, rng()), lambda pool: pool.random(21, rng())):
        with pytest.raises(UnusableAnswerError, match="the pool has 20 images left, the budget is 21"):
            ask(open_pool(images))


def test_foreground_is_for_oracles(volumes):
    with pytest.raises(UnusableAnswerError, match="oracles alone"):
        open_pool(volumes).random(2, rng(), foreground=0.5)
