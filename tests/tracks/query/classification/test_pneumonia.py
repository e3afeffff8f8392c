"""query-pneumonia: its files are what its makers make, its parts the official ones, and its order says nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.cli.board import build
from harness.data.catalog import find_protocol
from harness.spec.errors import UsageError
from harness.tracks.query.classification.data import open_images
from harness.tracks.query.classification.freeze import make_starts
from harness.tracks.query.classification.learner import ClassificationLearner
from harness.tracks.query.sources import Setting
from tests.pneumonia import FILE, fetch_pneumonia


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    fetch_pneumonia(tmp_path / "cache", monkeypatch)
    return find_protocol("query-pneumonia@1")


def test_without_the_images_one_sentence_says_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    bare = find_protocol("query-pneumonia@1")
    assert bare.benchmark.source.locked
    with pytest.raises(UsageError, match=r"not here yet; run: harness data fetch pneumoniamnist$"):
        open_images(Setting(bare, bare.benchmark.studies[0]))


def test_a_board_is_not_built_without_the_images(tmp_path, monkeypatch):
    """Every row would be lost."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    folder = find_protocol("query-pneumonia@1").path.parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(
        UsageError, match="the data of query-pneumonia@1 are not here yet; run: harness data fetch pneu"
    ):
        build("query-pneumonia@1")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_parts_are_the_official_ones(protocol):
    official = np.load(FILE)
    for study in protocol.benchmark.studies:
        setting = Setting(protocol, study)
        setting.artefacts()  # raises for a file that is not the pinned one
        images = open_images(setting, 12345)
        assert sorted(np.bincount(images.pool_targets)) == [1214, 3494]
        np.testing.assert_array_equal(images.test_targets, official["test_labels"][:, 0])
        np.testing.assert_array_equal(images.validation_targets, official["val_labels"][: study.validation, 0])
        expected = (official["test_images"][:, None] / 255 - 0.5719) / 0.1684
        np.testing.assert_allclose(images.test_inputs, expected, atol=1e-5)
        assert abs(images.pool_inputs.mean()) < 1e-3
        assert abs(images.pool_inputs.std() - 1) < 1e-3
        pool = {image.tobytes() for image in images.pool_inputs}
        assert not pool & {image.tobytes() for image in images.test_inputs}


def test_the_place_of_an_image_in_the_pool_says_nothing_of_its_label(protocol):
    """Neighbours agree as often as images drawn at random, and a linear trend over the places is none."""
    targets = open_images(Setting(protocol, protocol.benchmark.studies[0])).pool_targets
    share, count = targets.mean(), len(targets)
    expected = share**2 + (1 - share) ** 2
    agreement = (targets[1:] == targets[:-1]).mean()
    assert abs(agreement - expected) < 4 * np.sqrt(expected * (1 - expected) / count)
    assert abs(np.corrcoef(np.arange(count), targets)[0, 1]) < 4 / np.sqrt(count)
    official = np.load(FILE)["train_labels"][:, 0]
    same_place = (targets == official).mean()
    assert abs(same_place - expected) < 4 * np.sqrt(expected * (1 - expected) / count), "not the order of the file"


def test_starts_are_the_pinned_ones_and_balanced(protocol):
    made = make_starts(protocol)
    for study in protocol.benchmark.studies:
        setting = Setting(protocol, study)
        pinned = json.loads(protocol.locate(study.starts.path).read_text())
        assert made[study.id] == pinned
        assert set(pinned) == {str(seed) for seed in protocol.benchmark.seeds}
        targets = open_images(setting).pool_targets
        for seed in protocol.benchmark.seeds:
            start = ClassificationLearner(setting, seed, (), "cpu").start()
            assert start[:, 0].tolist() == pinned[str(seed)]
            assert np.bincount(targets[start[:, 0]]).tolist() == [study.start // 2] * 2
