"""query-mnist: its files are what its makers make, and its numbers what its card says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.data.catalog import find_protocol
from harness.data.class_splits import class_splits
from harness.data.embedded import mnist_5k
from harness.tracks.query.classification.data import open_images
from harness.tracks.query.classification.freeze import PARTS, main, make_starts
from harness.tracks.query.classification.learner import ClassificationLearner
from harness.tracks.query.sources import Setting
from tests.tracks.query.classification.support import unheard


@pytest.fixture(scope="module")
def protocol():
    return find_protocol("query-mnist@2")


def test_every_file_is_pinned(protocol):
    assert protocol.benchmark.source.locked
    assert all(study.starts.sha256 for study in protocol.benchmark.studies)
    for study in protocol.benchmark.studies:
        Setting(protocol, study).artefacts()  # raises for a file that is not the pinned one


def test_the_parts_are_disjoint_and_balanced(protocol):
    path = protocol.locate("query-mnist/splits.json")
    parts, labels = json.loads(path.read_text()), mnist_5k()[1]
    assert sorted(index for part in parts.values() for index in part) == list(range(5000))
    for name, each in (("pool", 300), ("validation", 20), ("test", 180)):
        assert np.bincount(labels[parts[name]]).tolist() == [each] * 10
        assert labels[parts[name][:20]].tolist() == list(range(10)) * 2
    assert parts == class_splits(labels, 10, PARTS)


def test_starts_are_the_pinned_ones_and_cover_the_classes(protocol):
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
            assert np.bincount(targets[start[:, 0]]).tolist() == [study.start // 10] * 10


def test_the_maker_writes_the_same_bytes_and_the_lines_for_the_protocol(protocol, tmp_path, capsys):
    folder = tmp_path / "query-mnist"
    folder.mkdir()
    main(["splits", str(folder)])
    main(["starts", str(protocol.path), str(folder)])
    text = protocol.path.read_text()
    for line in capsys.readouterr().out.splitlines():
        assert line in text
    for path in folder.iterdir():
        assert path.read_bytes() == protocol.locate(f"query-mnist/{path.name}").read_bytes()


def test_more_labels_teach_more(protocol):
    learner = ClassificationLearner(Setting(protocol, protocol.benchmark.studies[0]), 12345, ("members",), "cpu")
    start = learner.start()
    more = learner.parse(np.random.default_rng(0).permutation(2980)[:180, None], [start], 180)
    reached = []
    for picks in ([start], [start, more]):
        weights = learner.train(len(picks) - 1, 0, picks, unheard)
        found = learner.evaluate(0, [weights], picks)["predictions"]
        reached.append((found == learner._images.test_targets).mean())
    assert reached[0] > 0.4  # 20 labels; chance is 0.1
    assert reached[1] > 0.85  # 200 labels
    assert reached[1] > reached[0] + 0.1
