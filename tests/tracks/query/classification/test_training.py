"""Trainings that learn, and that are functions of their arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.data.catalog import find_protocol, load_protocol
from harness.spec.errors import UsageError
from harness.spec.query import ClassifierTraining, Optimiser
from harness.tracks.query.classification.data import open_images
from harness.tracks.query.classification.optimisation import reproducible
from harness.tracks.query.classification.performance import accuracy, balanced_accuracy
from harness.tracks.query.classification.pretraining import contrastive_loss, pretrain
from harness.tracks.query.classification.training import (
    Batches,
    DistributionAlignment,
    Trainer,
    consistency,
    predictions,
)
from tests.tracks.query.classification.support import setting_of, unheard, write_benchmark

FIXMATCH = "[trainings.fixmatch]\nratio = 3\nthreshold = 0.6\ndistribution_alignment = true\n"
PRETRAINING = """
[trainings.pretraining]
epochs = 25
batch_size = 24
hidden = 32
features = 16
[trainings.pretraining.optimiser]
kind = "sgd"
learning_rate = 0.1
"""


def trainer_of(tmp_path, **changes):
    setting = setting_of(write_benchmark(tmp_path, **changes))
    images = open_images(setting, 1)
    performance = setting.protocol.benchmark.performance
    return Trainer(images, setting.training, performance, setting.training.dropout, "cpu"), images


def balanced_rows(images, each):
    return np.concatenate([np.flatnonzero(images.pool_targets == label)[:each] for label in range(images.classes)])


def same(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "training",
    ["balanced_sampling = true", 'augmentation = "randaugment"', 'augmentation = "basic"\n' + FIXMATCH],
)
def test_the_same_call_gives_the_same_weights_whatever_ran_before(tmp_path, training):
    trainer, images = trainer_of(tmp_path, training=training)
    rows = balanced_rows(images, 3)
    first = trainer.train(rows, (1, 0, 0), None, unheard)
    other = trainer.train(rows, (1, 1, 0), None, unheard)
    torch.manual_seed(99)
    torch.rand(1000), np.random.rand(10)
    fresh, _ = trainer_of(tmp_path, training=training)
    assert same(first, fresh.train(rows[::-1], (1, 0, 0), None, unheard))
    assert not same(first, other)


@pytest.mark.parametrize("training", ['augmentation = "basic"\nhead_layers = 2', 'augmentation = "basic"\n' + FIXMATCH])
def test_it_learns(tmp_path, training):
    trainer, images = trainer_of(tmp_path, training=training)
    weights = trainer.train(balanced_rows(images, 4), (1, 0, 0), None, unheard)
    found = predictions(trainer.rebuild(weights), images.test_inputs, "cpu")
    assert accuracy(found, images.test_targets, 3) > 0.7  # 30 images, chance is 1/3: p < 1e-4


def test_pretraining_brings_images_of_a_class_together_without_a_label(tmp_path):
    trainer, images = trainer_of(tmp_path, training=PRETRAINING)
    training, told = setting_of(write_benchmark(tmp_path, training=PRETRAINING)).training, []
    encoder = pretrain(images, training, 1, "cpu", lambda what, share: told.append(share))
    assert told == pytest.approx([(epoch + 1) / 25 for epoch in range(25)])
    assert same(encoder, pretrain(images, training, 1, "cpu", unheard))
    assert not same(encoder, pretrain(images, training, 2, "cpu", unheard))
    assert nearness(trainer, None, images) < 0.15
    assert nearness(trainer, encoder, images) > 0.3
    weights = trainer.train(balanced_rows(images, 2), (1, 0, 0), encoder, unheard)
    found = predictions(trainer.rebuild(weights), images.test_inputs, "cpu")
    assert accuracy(found, images.test_targets, 3) > 0.7


def nearness(trainer, encoder, images):
    """Mean cosine of test images of one class, less that of two classes."""
    with reproducible("cpu", 5):
        network = trainer._build(encoder).eval()
    with torch.inference_mode():
        features = torch.nn.functional.normalize(network.features(torch.from_numpy(images.test_inputs)))
    cosines = (features @ features.T).numpy()
    alike = images.test_targets[:, None] == images.test_targets
    return cosines[alike & ~np.eye(len(alike), dtype=bool)].mean() - cosines[~alike].mean()


def test_resnet_on_small_colour_images(tmp_path):
    training = 'augmentation = "randaugment"\nnetwork = "resnet-18"'
    path = write_benchmark(tmp_path, channels=3, dataset='channels = "last"\nscale = 255.0\nvalidation = 12').path
    text = path.read_text().replace('network = "small-cnn"', training).replace("epochs = 4", "epochs = 1")
    path.write_text(text.replace("samples_per_epoch = 48", ""))
    setting = setting_of(load_protocol(path))
    images = open_images(setting, 1)
    trainer = Trainer(images, setting.training, "accuracy", 0.5, "cpu")
    rows = np.arange(16)
    weights = trainer.train(rows, (1, 0, 0), None, unheard)
    assert weights["encoder.0.weight"].shape == (64, 3, 3, 3)
    assert weights["encoder.1.num_batches_tracked"] == 2  # 16 images in batches of 8
    assert predictions(trainer.rebuild(weights), images.test_inputs, "cpu").shape == (30,)


@pytest.mark.parametrize("name", ["st-cifar", "st-isic", "self-sl-isic", "self-sl-miotcd-low", "semi-sl-cifar10"])
def test_every_augmentation_of_realistic_al_trains(tmp_path, name):
    (released,) = (each for each in find_protocol("query-realistic-al@2").benchmark.trainings if each.id == name)
    protocol = write_benchmark(tmp_path, channels=3, dataset='channels = "last"\nscale = 255.0\nvalidation = 12')
    setting = setting_of(protocol)
    images, small = open_images(setting, 1), {"epochs": 1, "augmentation": released.augmentation}
    if released.pretraining is not None:
        small["pretraining"] = released.pretraining.model_copy(update={"epochs": 1, "batch_size": 24})
    training = setting.training.model_copy(update=small)
    encoder = pretrain(images, training, 1, "cpu", unheard) if training.pretraining else None
    trainer = Trainer(images, training, "accuracy", 0.0, "cpu")
    weights = trainer.train(np.arange(16), (1, 0, 0), encoder, unheard)
    assert all(np.isfinite(each).all() for each in weights.values())
    plain = Trainer(images, training.model_copy(update={"augmentation": "none"}), "accuracy", 0.0, "cpu")
    assert not same(weights, plain.train(np.arange(16), (1, 0, 0), encoder, unheard))


def test_the_best_epoch_on_the_validation_part_is_kept(tmp_path, monkeypatch):
    trainer, images = trainer_of(tmp_path)
    seen, scores = [], iter([0.2, 0.9, 0.9, 0.4])

    def validated(network):
        seen.append({name: value.numpy().copy() for name, value in network.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(trainer, "_validated", validated)
    weights = trainer.train(balanced_rows(images, 3), (1, 0, 0), None, unheard)
    assert same(weights, seen[2])  # the later of two equals


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    trainer, images = trainer_of(tmp_path, study="validation = 0")
    told = []
    weights = trainer.train(balanced_rows(images, 3), (1, 0, 0), None, lambda what, share: told.append((what, share)))
    assert weights["encoder.1.num_batches_tracked"] == 4 * 6  # 4 epochs of 48 samples in batches of 8
    assert told == [(f"epoch {epoch} of 4", epoch / 4) for epoch in (1, 2, 3, 4)]


def test_a_training_that_diverges_is_told(tmp_path):
    trainer, images = trainer_of(tmp_path, rate=1e20)
    with pytest.raises(UsageError, match=r"came apart.*learning_rate below 1e\+20"):
        trainer.train(balanced_rows(images, 3), (1, 0, 0), None, unheard)


def batches_of(targets, **changes):
    spec = {"batch_size": 4, "epochs": 1, "optimiser": Optimiser(learning_rate=1), "network": "small-cnn", **changes}
    return Batches(np.asarray(targets), ClassifierTraining(kind="classifier", id="t", **spec))


def test_an_epoch_has_every_image_once():
    batches = batches_of(np.zeros(12, int))
    first, second = (torch.cat(list(batches)) for _ in range(2))
    assert len(batches) == len(list(batches)) == 3
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()


def test_few_images_come_again_and_again():
    counts = np.bincount(torch.cat(list(batches_of([0, 1, 0, 1, 0], samples_per_epoch=20))).numpy())
    assert counts.tolist() == [4] * 5
    counts = np.bincount(torch.cat(list(batches_of([0, 1, 0], samples_per_epoch=8))).numpy())
    assert sorted(counts) == [2, 3, 3]


def test_a_rest_that_fills_no_batch_is_left_out_but_never_everything():
    assert [len(each) for each in batches_of(np.zeros(11, int))] == [4, 4]
    assert [len(each) for each in batches_of(np.zeros(3, int))] == [3]


def test_balanced_sampling():
    targets = np.repeat([0, 1, 2], [900, 90, 10])
    torch.manual_seed(0)
    batches = batches_of(targets, balanced_sampling=True, samples_per_epoch=9000, batch_size=9000)
    drawn = torch.cat(list(batches)).numpy()
    shares = np.bincount(targets[drawn]) / 9000
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / 9000))
    plain = torch.cat(list(batches_of(targets, samples_per_epoch=9000, batch_size=9000))).numpy()
    np.testing.assert_array_equal(np.bincount(targets[plain]), [8100, 810, 90])


def test_contrastive_loss_by_hand():
    rows = np.random.default_rng(0).normal(size=(8, 5))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    losses = []
    for i in range(8):
        partner = i + 4 if i < 4 else i - 4
        others = sum(np.exp(unit[i] @ unit[k] / 0.3) for k in range(8) if k != i)
        losses.append(-np.log(np.exp(unit[i] @ unit[partner] / 0.3) / others))
    assert contrastive_loss(torch.from_numpy(rows), 0.3).item() == pytest.approx(np.mean(losses))


def test_consistency_by_hand():
    guess = torch.tensor([[0.95, 0.05], [0.1, 0.9], [0.6, 0.4], [0.04, 0.96]])
    logits = torch.tensor([[0.0, 1.0], [5.0, 0.0], [9.0, 0.0], [2.0, 0.5]])
    expected = (np.log(1 + np.e) + np.log(1 + np.exp(1.5))) / 4  # images 0 and 3, of four
    assert consistency(guess, logits, 0.95).item() == pytest.approx(expected, rel=1e-5)
    assert consistency(guess, logits, 0.99).item() == 0


def test_alignment_by_hand():
    align = DistributionAlignment(torch.tensor([0.75, 0.25]))
    first = torch.tensor([[0.5, 0.5], [0.3, 0.7]])
    ratio = np.array([0.75 / 0.4, 0.25 / 0.6])
    expected = first.numpy() * ratio
    np.testing.assert_allclose(align(first).numpy(), expected / expected.sum(1, keepdims=True), rtol=1e-5)
    ratio = np.array([0.75 / 0.6, 0.25 / 0.4])  # the mean of batches with 0.4 and 0.8 of class 0
    expected = np.array([0.8, 0.2]) * ratio
    np.testing.assert_allclose(align(torch.tensor([[0.8, 0.2]])).numpy()[0], expected / expected.sum(), rtol=1e-5)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur():
    targets, found = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 2, 0])
    assert accuracy(found, targets, 4) == pytest.approx(4 / 6)
    assert balanced_accuracy(found, targets, 4) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert balanced_accuracy(targets, targets, 4) == 1
