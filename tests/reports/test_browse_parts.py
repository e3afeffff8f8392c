"""What the failure browser computes: places, groups, prototypes, small images."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from harness.reports.browse.embedding import layouts, principal_components
from harness.reports.browse.groups import failure_groups, prototypes
from harness.reports.browse.sprites import sprites

RNG = np.random.default_rng(11)
NONE = np.array([], int)


@pytest.mark.parametrize("width", [2, 6, 200])
def test_principal_components_are_those_of_the_singular_values(width):
    vectors = (RNG.normal(size=(90, width)) * np.linspace(3, 1, width)).astype(np.float32)
    found = principal_components(vectors)
    centred = vectors - vectors.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    for column in range(min(2, width)):
        expected = left[:, column] * strength[column]
        assert np.abs(found[:, column]) == pytest.approx(np.abs(expected), abs=0.05 * strength[column] / 9)
    assert found.shape[1] == max(3, min(50, width))


@pytest.mark.parametrize("vectors", [np.zeros((1, 4)), np.ones((5, 4)), np.zeros((7, 1))])
def test_samples_that_are_all_equal_lie_at_one_place(vectors):
    (way,) = layouts(principal_components(vectors.astype(np.float32)), "pca")
    assert np.array_equal(way.flat, np.zeros((len(vectors), 2)))
    assert way.solid.shape == (len(vectors), 3)


def test_places_keep_the_proportions_of_the_axes():
    components = principal_components((RNG.normal(size=(60, 3)) * [9, 3, 1]).astype(np.float32))
    (way,) = layouts(components, "pca")
    assert np.abs(way.flat).max() <= 0.951
    spans = np.ptp(components[:, :2], axis=0)
    assert np.ptp(way.flat, axis=0) == pytest.approx(1.9 * spans / spans.max(), rel=1e-4)


def test_neighbours_come_from_the_cache_the_second_time(tmp_path, monkeypatch):
    from harness.reports.browse import embedding

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "find_spec", lambda name: name == "openTSNE")
    monkeypatch.setattr(embedding, "version", lambda name: "1.0")
    calls, told = [], []

    def placed(components, dimensions):
        calls.append(dimensions)
        return components[:, :dimensions] * 2

    monkeypatch.setattr(embedding, "_tsne", placed)
    components = principal_components(RNG.normal(size=(40, 5)).astype(np.float32))
    first, again = (layouts(components, "auto", told.append) for _ in range(2))
    assert calls == [2, 3]
    assert len(told) == 1
    assert [way.title for way in first] == ["t-SNE", "principal components"]
    assert np.array_equal(first[0].flat, again[0].flat)
    layouts(components + 1, "tsne")
    assert calls == [2, 3, 2, 3]


def test_tsne_keeps_clusters_apart():
    pytest.importorskip("openTSNE", reason="reliabench[browse] is not installed")
    from harness.reports.browse.embedding import _tsne

    label = np.arange(90) % 3
    points = _tsne(10 * np.eye(3, 6)[label] + RNG.normal(size=(90, 6)), 2)
    centres = np.stack([points[label == each].mean(axis=0) for each in range(3)])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == label).mean() > 0.95


def test_a_group_that_fails_is_found_with_what_it_shares():
    """Five far clusters of 60 samples; of the third, all but ten fail, of the others one in twenty."""
    label = np.repeat(np.arange(5), 60)
    components = 30 * np.eye(5)[label] + RNG.normal(size=(300, 5))
    place = np.tile(np.arange(60), 5)
    failed = np.where(label == 2, place >= 10, place % 20 == 0)
    facts = {"class": [str(each) for each in label], "set": ["a" if each % 2 else "b" for each in range(300)]}
    (found,) = failure_groups(components, failed, np.ones(300), facts)
    assert sorted(found.members.tolist()) == np.flatnonzero(label == 2).tolist()
    assert (found.samples, found.failures, found.rate) == (60, 50, 50 / 60)
    centre = components[failed & (label == 2)].mean(axis=0)
    nearest = sorted(np.flatnonzero(failed & (label == 2)), key=lambda each: np.linalg.norm(components[each] - centre))
    assert found.members[:50].tolist() == nearest
    assert found.shared == ("class 2: 100 %", "set a: 50 %")


def test_rates_of_groups_count_what_points_stand_for():
    label = np.repeat(np.arange(5), 60)
    failed = (label == 2) & (np.arange(300) % 2 == 0)
    weight = np.where(failed, 1.0, 3.0)
    (found,) = failure_groups(30 * np.eye(5)[label] + RNG.normal(size=(300, 5)), failed, weight, {})
    assert (found.samples, found.failures) == (30 + 30 * 3, 30)


def test_groups_are_of_the_data_however_many_failures_were_drawn():
    """600 failures at one place are all kept, of 40 times as many successes at four others one in 100 is: one group."""
    label = np.repeat(np.arange(5), [600, 60, 60, 60, 60])
    failed, weight = label == 0, np.where(label == 0, 1.0, 100.0)
    (found,) = failure_groups(30 * np.eye(5)[label] + RNG.normal(size=(840, 5)), failed, weight, {})
    assert (found.samples, found.failures) == (600, 600)


def test_what_follows_from_a_shared_fact_is_not_said_again():
    failed = np.repeat([False, True], [100, 60])
    truth, said = np.where(failed, "3", "1"), np.where(np.arange(160) < 155, "5", "4")
    pair = [f"{a} → {b}" for a, b in zip(truth, said, strict=True)]
    facts = {"class and prediction": pair, "class": truth.tolist(), "predicted": said.tolist()}
    (found,) = failure_groups(
        30 * np.eye(2)[failed.astype(int)] + RNG.normal(size=(160, 2)), failed, np.ones(160), facts
    )
    assert found.shared == ("class and prediction 3 → 5: 92 %", "class 3: 100 %")


@pytest.mark.parametrize("failed", [np.zeros(200, bool), np.ones(200, bool)])
def test_without_failures_or_successes_no_group_stands_out(failed):
    found = failure_groups(RNG.normal(size=(200, 3)), failed, np.ones(200), {})
    assert all(group.rate == 1 for group in found)
    assert not found or failed.all()


def test_prototypes_are_of_their_class_and_one_for_each_cluster():
    sets, labels = np.repeat([0, 1], 80), np.tile(np.repeat([0, 1], 40), 2)
    cluster = np.arange(160) % 4
    components = 50 * np.eye(4)[cluster] + RNG.normal(size=(160, 4))
    found = prototypes(components, sets, labels)
    assert list(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for (which, label), members in found.items():
        assert len(members) == len(set(members)) <= 6
        assert (sets[members] == which).all()
        assert (labels[members] == label).all()
        assert set(cluster[members]) == {0, 1, 2, 3}


def browsed_of(images: np.ndarray):
    source = SimpleNamespace(inputs=lambda name: images)
    browsed = SimpleNamespace(sets=[SimpleNamespace(name="a")], track=SimpleNamespace(source=source))
    return browsed, SimpleNamespace(sets=np.zeros(len(images), int), samples=np.arange(len(images)))


@pytest.mark.parametrize("channels", [1, 3])
def test_each_point_has_its_image(channels):
    images = np.zeros((70, channels, 28, 28), np.float32)
    for each in range(70):
        images[each] = each / 69
    found = sprites([(*browsed_of(images), np.array([5, 3]))])
    assert found is not None
    assert found.cells[0][[5, 3, 0, 1]].tolist() == [0, 1, 2, 3]
    sheet = Image.open(io.BytesIO(base64.b64decode(found.sheets[0].partition(",")[2]))).convert("L")
    pixels = np.asarray(sheet)
    for point in range(70):
        row, column = divmod(int(found.cells[0][point]), found.across)
        middle = pixels[row * found.side + 14, column * found.side + 14]
        assert middle == pytest.approx(255 * point / 69, abs=6)


def test_large_images_are_made_smaller_and_no_images_are_none():
    found = sprites([(*browsed_of(RNG.normal(size=(3, 3, 100, 80)).astype(np.float32)), NONE)])
    assert found is not None
    assert found.side == 48
    assert sprites([(*browsed_of(np.zeros((3, 2, 4, 4, 4), np.float32)), NONE)]) is None
    browsed, chosen = browsed_of(np.zeros((3, 1, 4, 4)))
    browsed.track.source.inputs = lambda name: None
    assert sprites([(browsed, chosen, NONE)]) is None


def test_networks_share_the_images_of_a_sample():
    images = np.stack([np.full((1, 28, 28), each / 9, np.float32) for each in range(10)])
    (browsed, chosen), (other, fewer) = browsed_of(images), browsed_of(images)
    fewer.sets, fewer.samples = np.zeros(3, int), np.array([7, 2, 9])
    found = sprites([(browsed, chosen, NONE), (other, fewer, np.array([2]))])
    assert found is not None
    assert found.cells[0][[7, 2, 9]].tolist() == found.cells[1].tolist()
    assert found.cells[1][2] == 0  # sample 9 goes before all others
    assert len(found.sheets) == 1
