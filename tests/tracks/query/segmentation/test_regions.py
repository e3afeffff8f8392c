"""Labels that overlap: networks learn regions as nnU-Net does, strategies see classes, Dice is that of regions."""

import itertools
import json

import numpy as np
import pytest

from harness.metrics.segmentation import mean_dice, segmentation_counts
from harness.tracks.query.campaign import Campaign, run_campaign
from harness.tracks.query.scoring import campaign_scores
from tests.tracks.query.segmentation.support import (
    balls,
    benchmark,
    boxed,
    changed,
    needs,
    quiet,
    random_strategy,
    raw_folder,
    setting,
    write_header,
    write_volume,
)

needs("nnunetv2", "SimpleITK")
torch = pytest.importorskip("torch")

from harness.spec.query import QueryBenchmark  # noqa: E402
from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402
from harness.tracks.query.segmentation.prediction import Window  # noqa: E402
from harness.tracks.query.segmentation.trainer import SparseTrainer, Split, deterministic, nnunet_folders  # noqa: E402

SHAPE = (16, 18, 20)
VALUES = {"whole": {1, 2, 3}, "core": {2, 3}}
"""Of the files: a shell of 1, a core of 2 in its lower and 3 in its upper half; 4 is to be ignored."""
CLASS = np.array([0, 1, 2, 2, -1])


def written(number):
    labels = balls(SHAPE, number)[1]
    labels[8:][labels[8:] == 2] = 3
    labels[:2] = 4
    return labels


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = raw_folder(tmp_path_factory.mktemp("data") / "raw")
    for number in range(8):
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", written(number))
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}
    write_header(folder, labels=labels, regions_class_order=[1, 2])
    return changed(setting(benchmark(folder.parent)), study={"full_performance": 0.9})


@pytest.fixture(scope="module")
def learner(volumes):
    return SegmentationLearner(volumes, 1, (), "cpu")


@pytest.fixture(scope="module")
def trained(learner):
    picks = [learner.start()]
    return picks, [learner.train(0, number, picks, quiet) for number in range(2)]


@pytest.fixture(scope="module")
def plan(learner, trained):
    return learner._planned(trained[0])


def test_classes_are_what_regions_tell_apart(learner):
    assert learner._cases.classes == ("background", "label 1", "core")
    for name in (*learner._cases.pool, *learner._cases.held_out):
        assert np.array_equal(learner._cases.labels(name), CLASS[written(int(name[-1]))])


def test_nnunet_gets_the_regions(plan):
    assert plan.dataset["labels"] == {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    assert plan.dataset["regions_class_order"] == [1, 2]
    assert plan.labels.has_regions
    assert plan.labels.num_segmentation_heads == 2


def test_training_sees_each_region_and_what_is_unknown(learner, trained, plan, tmp_path):
    """Targets (b, regions + 1, *patch): the last says where nothing is known, and there counts nothing."""
    prepared = {name: learner._prepare(plan, name, of) for name, of in learner.ledger.boxes(trained[0]).items()}
    with deterministic(0), nnunet_folders(tmp_path):
        trainer = SparseTrainer.of(plan, learner._training, Split(prepared, prepared), "cpu")
        trainer.on_train_start()
        batches = [next(loader) for loader in (trainer.dataloader_train, trainer.dataloader_val) for _ in range(5)]
    for batch in batches:
        whole, core, unknown = np.moveaxis(batch["target"][0].numpy().astype(bool), 1, 0)
        assert not (core & ~whole).any()
        assert not (unknown & whole).any()
    assert any(batch["target"][0][:, 1].any() for batch in batches)


def test_the_loss_is_dice_without_smoothing_and_cross_entropy_of_each_region(learner, plan, tmp_path):
    with nnunet_folders(tmp_path):
        trainer = SparseTrainer.of(plan, learner._training, Split({}, {}), "cpu")
        trainer.initialize()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 2, 4, 4, 4)).astype(np.float32)
    target = rng.integers(0, 2, size=(2, 3, 4, 4, 4)).astype(bool)
    chance = 1 / (1 + np.exp(-logits))
    dice, entropy = [], []
    for p, y in zip(chance, target, strict=True):
        known = ~y[2]
        for region in range(2):
            here, truth = p[region][known], y[region][known]
            dice.append(2 * here[truth].sum() / (here.sum() + truth.sum()))
            entropy.append(-np.where(truth, np.log(here), np.log(1 - here)))
    # nnU-Net divides by the known voxels, not by those of all regions.
    expected = sum(each.sum() for each in entropy) / (~target[:, 2]).sum() - np.mean(dice)
    found = trainer.loss.loss(torch.from_numpy(logits), torch.from_numpy(target))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_those_of_classes(plan):
    """Every way in which regions may be found, with its chance, and what nnU-Net then writes."""
    chances = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    expected = np.zeros((3, 3, 4, 5))
    for found in itertools.product((False, True), repeat=2):
        share = np.prod([p if on else 1 - p for p, on in zip(chances, found, strict=True)], axis=0)
        label = 0
        for on, order in zip(found, (1, 2), strict=True):
            label = order if on else label
        expected[label] += share
    assert np.allclose(plan.class_probabilities(chances), expected, atol=1e-6)


def test_what_is_predicted_is_nnunets_rule(plan):
    """Later regions are written over earlier ones, also where these were not found."""
    chances = np.array([[0.2, 0.8, 0.8, 0.2], [0.2, 0.2, 0.8, 0.8]], dtype=np.float32).reshape(2, 1, 1, 4)
    assert plan.segmentation(chances).ravel().tolist() == [0, 1, 2, 2]


def test_the_offer_has_probabilities_of_classes(learner, trained, tmp_path):
    offer = learner.offer(0, trained[1], trained[0], tmp_path, oracle=False)
    assert offer.meta["classes"] == 3
    found = np.load(tmp_path / "0.probabilities.npy")
    assert found.shape == (2, 3, *SHAPE)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found >= 0).all()


def test_dice_is_that_of_each_region(learner, trained, plan):
    picks, networks = trained
    counts = learner.evaluate(0, networks, picks)["counts"]
    assert counts.shape == (2, 3, 4)
    dice = []
    with deterministic(0):
        window = Window(plan, "cpu", learner._training.validation_window_step)
        for name, rows in zip(learner._cases.held_out, counts, strict=True):
            case = plan.network_input(learner._cases.image(name))
            whole, core = np.mean([window.outputs(case, each) for each in networks], axis=0) > 0.5
            predicted = np.where(core, 2, np.where(whole, 1, 0))
            labels = written(int(name[-1]))
            known = labels != 4
            for row, values, members in zip(rows[1:], VALUES.values(), ({1, 2}, {2}), strict=True):
                true = np.isin(labels, list(values))[known]
                said = np.isin(predicted, list(members))[known]
                assert row.tolist() == [
                    (true & said).sum(),
                    (~true & said).sum(),
                    (true & ~said).sum(),
                    (~true & ~said).sum(),
                ]
                dice.append(2 * (true & said).sum() / max(1, true.sum() + said.sum()))
    assert mean_dice(counts) == pytest.approx(np.mean(np.reshape(dice, (2, 2)).mean(axis=0)))


def test_foreground_counts_once_where_regions_overlap(learner):
    picks = [learner.start()]
    effort = learner.effort(picks)
    boxes = [CLASS[written(int(learner._cases.pool[row[0]][-1]))][boxed(row)] for row in picks[0]]
    assert effort["voxels"].tolist() == [sum(int((box == label).sum()) for box in boxes) for label in range(3)]
    pool = [CLASS[written(int(name[-1]))] for name in learner._cases.pool]
    assert effort["pool_voxels"].tolist() == [sum(int((each == label).sum()) for each in pool) for label in range(3)]


def test_a_campaign_and_its_scores(learner, volumes, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    outputs = run_campaign(Campaign(2, 3), learner, random_strategy, tmp_path / "desk", quiet)
    scores = campaign_scores(volumes, volumes.protocol.of(QueryBenchmark), outputs, 2)
    dice = [mean_dice(counts) for counts in outputs["evaluation.counts"]]
    assert scores.arrays["performance"] == pytest.approx(np.array(dice), nan_ok=True)
    voxels, pool = outputs["effort.voxels"], outputs["effort.pool_voxels"]
    assert scores.arrays["foreground"] == pytest.approx(voxels[:, 1:].sum(axis=1) / pool[:, 1:].sum(axis=1))
    summary = json.loads((tmp_path / "desk/loop_001/summary.json").read_text())
    assert set(summary["mean"]) == {"(1, 2, 3)", "(2, 3)"}
    loop = json.loads((tmp_path / "desk/loop_001.json").read_text())["patches"]
    assert [patch["size"] for patch in loop] == [[6, 6, 6]] * 3


def test_counts_of_regions_by_hand():
    predicted = np.array([0, 1, 2, 2, 1, 0])
    true = np.array([0, 2, 2, 1, -1, 1])
    counts = segmentation_counts(predicted, true, 3, ignore=-1, regions=[(0,), (1, 2), (2,)])
    assert counts.tolist() == [[1, 1, 0, 3], [3, 0, 1, 1], [1, 1, 1, 2]]


@pytest.mark.parametrize("region", [(), (3,), (-1,)])
def test_a_region_of_no_classes(region):
    with pytest.raises(ValueError, match=r"a region is a union of classes 0 \.\.\. 2"):
        segmentation_counts(np.array([0, 1]), np.array([0, 1]), 3, regions=[(0,), region])
