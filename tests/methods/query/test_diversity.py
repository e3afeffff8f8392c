"""Strategies that spread a batch: k-center, BADGE, TypiClust, k-means BALD, against slow readings of their rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.methods.baselines.query import badge, typi_clust
from harness.methods.baselines.query._diversity import farthest_points, nearest_squared

from .support import RULES, asked, by_position, committee, cut, greedy, image_pool, mean_scores, volume_pool


def farthest(points, count, start):
    """Greedy k-center by comparing all pairs, from the points of `start` on."""
    chosen, there = [], [np.asarray(point, dtype=float) for point in start]
    for _ in range(count):
        gaps = [min(np.linalg.norm(point - other) for other in there) for point in points]
        for index in chosen:
            gaps[index] = -1
        chosen.append(int(np.argmax(gaps)))
        there.append(points[chosen[-1]])
    return chosen


@given(st.integers(0, 2**32), st.floats(0, 1e4))
@settings(max_examples=30)
def test_core_set_is_greedy_k_center_around_the_labelled(seed, offset):
    rng = np.random.default_rng(seed)
    pool, labelled = rng.normal(size=(25, 4)) + offset, rng.normal(size=(6, 4)) + offset
    found = farthest_points(pool, 8, rng, nearest=nearest_squared(pool, labelled))
    assert found.tolist() == farthest(pool, 8, labelled)


def test_core_set_asks_for_it(tmp_path):
    rng = np.random.default_rng(1)
    pool = rng.normal(size=(20, 3)).astype(np.float32)
    labelled = rng.normal(size=(5, 3)).astype(np.float32)
    meta = image_pool(tmp_path, committee((20,)), features=pool, labelled_features=labelled, targets=range(5), budget=6)
    assert asked("core-set", meta) == farthest(pool.astype(float), 6, labelled)


def test_equal_points_are_each_asked_for_once():
    found = farthest_points(np.ones((9, 3)), 9, np.random.default_rng(0), nearest=np.zeros(9))
    assert sorted(found) == list(range(9))
    first = [farthest_points(np.ones((9, 3)), 1, np.random.default_rng(k)).item() for k in range(50)]
    assert len(set(first)) > 5, "by the generator, not by position"


def test_distances_to_nothing_are_infinite():
    assert np.isinf(nearest_squared(np.ones((3, 2)), np.ones((0, 2)))).all()


# k-means BALD --------------------------------------------------------------------------------------


def test_kmeans_bald_on_images(tmp_path):
    probabilities = committee((30,), seed=5)
    features = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32) * [1, 10, 100, 0]
    kept = np.argsort(-by_position(RULES["mutual_information"], probabilities))[:10]
    scaled = features[kept][:, :3] / features[kept][:, :3].std(axis=0)
    first = int(np.argmax(np.linalg.norm(scaled, axis=1)))
    expected = [kept[first], *kept[farthest(scaled, 4, [scaled[first]])]]
    assert asked("kmeans-bald", image_pool(tmp_path, probabilities, features=features, budget=5)) == expected


def test_kmeans_bald_on_patches(tmp_path):
    """Features are as fine as the image here, so that the mean over a patch is the plain mean."""
    patch = (2, 3, 3)
    pool = {f"case {k}": committee((4, 6, 6), seed=k) for k in range(2)}
    features = {name: np.random.default_rng(len(name)).normal(size=(3, 4, 6, 6)) + k for k, name in enumerate(pool)}
    places, rows = [], []
    for name, probabilities in pool.items():
        scores = mean_scores(by_position(RULES["mutual_information"], probabilities), patch)
        for corner in greedy(scores, patch, most=4):
            places.append((name, corner))
            rows.append([cut(channel, corner, patch).mean() for channel in features[name]])
    scaled = np.array(rows) / np.std(rows, axis=0)
    first = int(np.argmax(np.linalg.norm(scaled, axis=1)))
    expected = [places[first], *(places[k] for k in farthest(scaled, 3, [scaled[first]]))]
    meta = volume_pool(tmp_path, pool, features=features, max_per_image=2, budget=4)
    assert asked("kmeans-bald", meta) == expected


# BADGE ---------------------------------------------------------------------------------------------


def materialised(probabilities, features):
    """(n, classes * d), image by image: the outer product of p minus one-hot with the features."""
    rows = []
    for p, f in zip(probabilities, features, strict=True):
        one_hot = np.eye(len(p))[np.argmax(p)]
        rows.append(np.outer(p - one_hot, f).ravel())
    return np.array(rows)


def gradients(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(5), size=n), rng.normal(size=(n, 7))


def test_badge_distances_are_those_of_the_gradients():
    probabilities, features = gradients(20)
    explicit = materialised(probabilities, features)
    embeddings = badge.GradientEmbeddings(probabilities, features)
    assert embeddings.squared_norms == pytest.approx((explicit**2).sum(axis=1))
    for place in range(20):
        expected = ((explicit - explicit[place]) ** 2).sum(axis=1)
        assert embeddings.squared_distances(place) == pytest.approx(expected, abs=1e-12)


def test_badge_gradients_are_those_of_the_last_layer():
    import torch

    probabilities, features = gradients(4)
    weight = torch.zeros(5, 7, dtype=torch.float64, requires_grad=True)
    for p, f, row in zip(probabilities, features, materialised(probabilities, features), strict=True):
        # A layer with zero weights and the logarithms of p as bias predicts p.
        logits = weight @ torch.from_numpy(f) + torch.from_numpy(p).log()
        loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([int(np.argmax(p))]))
        (gradient,) = torch.autograd.grad(loss, weight)
        assert gradient.numpy().ravel() == pytest.approx(row)


def test_badge_begins_with_the_largest_and_goes_on_by_squared_distance():
    probabilities, features = gradients(8)
    explicit = materialised(probabilities, features)
    embeddings = badge.GradientEmbeddings(probabilities, features)
    runs = 3000
    found = np.array([badge.spread_sample(embeddings, 2, np.random.default_rng(k)) for k in range(runs)])
    first = int(np.argmax(np.linalg.norm(explicit, axis=1)))
    assert (found[:, 0] == first).all()
    share = ((explicit - explicit[first]) ** 2).sum(axis=1)
    others = [k for k in range(8) if k != first]
    observed = [np.count_nonzero(found[:, 1] == k) for k in others]
    assert stats.chisquare(observed, share[others] / share.sum() * runs).pvalue > 0.01


@pytest.mark.parametrize("sure", [True, False])
def test_badge_on_equal_images_asks_for_each_once(tmp_path, sure):
    """Of networks that are quite sure all gradients are zero."""
    probabilities = np.zeros((2, 3, 9))
    probabilities[:, 0], probabilities[:, 1] = (1, 0) if sure else (0.6, 0.4)
    found = asked("badge", image_pool(tmp_path, probabilities, features=np.ones((9, 4)), budget=9))
    assert sorted(found) == list(range(9))


# TypiClust -----------------------------------------------------------------------------------------


def test_typicality_is_the_inverse_mean_distance_to_the_nearest():
    points = np.random.default_rng(0).normal(size=(50, 3))
    for count in (50, 8):
        gaps = np.linalg.norm(points[:count, None] - points[None, :count], axis=2)
        expected = [1 / np.mean(sorted(row)[1 : 1 + min(20, count - 1)]) for row in gaps]
        assert typi_clust.typicality(points[:count]) == pytest.approx(expected)
    assert typi_clust.typicality(points[:1]).tolist() == [np.inf]


def blobs(sizes, seed=0):
    """Far apart, each with its own number."""
    rng = np.random.default_rng(seed)
    centres = np.eye(len(sizes)) * 100
    number = np.repeat(np.arange(len(sizes)), sizes)
    return centres[number] + rng.normal(size=(len(number), len(sizes))), number


def test_typi_clust_asks_for_the_most_typical_of_the_largest_clusters_without_label(tmp_path):
    """Five blobs; the largest has a label, the fifth too; three clusters are left for three picks, large ones first."""
    features, blob = blobs([30, 25, 20, 10, 8])
    labelled = np.array([[100.0, 0, 0, 0, 0], [0, 0, 0, 0, 100.0]])
    meta = image_pool(
        tmp_path, committee((93,)), features=features, labelled_features=labelled, targets=[0, 1], budget=3
    )
    found = asked("typi-clust", meta)
    assert blob[found].tolist() == [1, 2, 3]
    for image, number in zip(found, (1, 2, 3), strict=True):
        members = np.flatnonzero(blob == number)
        assert image == members[np.argmax(typi_clust.typicality(features[members].astype(np.float32)))]


def test_typi_clust_leaves_small_clusters_for_last(tmp_path):
    """Three clusters for three picks, one of them of four images: the largest without label first."""
    features, blob = blobs([20, 12, 4])
    meta = image_pool(tmp_path, committee((36,)), features=features, targets=[], budget=3)
    assert blob[asked("typi-clust", meta)].tolist() == [0, 1, 0]


def test_typi_clust_takes_several_of_a_cluster_where_it_must(monkeypatch, tmp_path):
    monkeypatch.setattr(typi_clust, "MOST_CLUSTERS", 2)
    features, blob = blobs([12, 10])
    meta = image_pool(tmp_path, committee((22,)), features=features, targets=[], budget=5)
    assert blob[asked("typi-clust", meta)].tolist() == [0, 1, 0, 1, 0]


def test_typi_clust_on_equal_images_asks_for_each_once(tmp_path):
    meta = image_pool(tmp_path, committee((9,)), features=np.ones((9, 2)), targets=[], budget=9)
    assert sorted(asked("typi-clust", meta)) == list(range(9))
