"""Encoders of the published sizes, and committees under fixed masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.spec.query import ClassifierTraining, Optimiser
from harness.tracks.query.classification.networks import build_classifier, dropout_masks


def training(network, head_layers=1):
    return ClassifierTraining(
        kind="classifier",
        id="t",
        network=network,
        epochs=1,
        batch_size=2,
        head_layers=head_layers,
        optimiser=Optimiser(learning_rate=0.1),
    )


def wide_resnet_size(factor, classes):
    """Weights of WRN-28-k by its table: 3 groups of 4 blocks, each with 2 normalisations and 2 convolutions."""
    total, before = 3 * 16 * 9, 16
    for after in (16 * factor, 32 * factor, 64 * factor):
        for block in range(4):
            entering = before if block == 0 else after
            total += 2 * entering + entering * after * 9 + 2 * after + after * after * 9
        total += before * after  # the 1x1 convolution of the first shortcut
        before = after
    return total + 2 * before + before * classes + classes


@pytest.mark.parametrize(
    ("network", "shape", "classes", "weights"),
    [
        ("resnet-18", (3, 224, 224), 1000, 11_689_512),  # as everybody's ResNet-18 for ImageNet
        ("resnet-18", (3, 32, 32), 10, 11_173_962),  # as everybody's ResNet-18 for CIFAR-10
        ("wide-resnet-28-2", (3, 32, 32), 10, wide_resnet_size(2, 10)),
        ("wide-resnet-28-8", (3, 32, 32), 100, wide_resnet_size(8, 100)),
        ("small-cnn", (1, 28, 28), 10, 25 * 16 + 9 * 16 * 32 + 9 * 32 * 32 + 160 + (16 * 32 + 1) * 64 + 65 * 10),
    ],
)
def test_parameter_counts(network, shape, classes, weights):
    built = build_classifier(training(network), shape, classes, 0.5)
    assert sum(each.numel() for each in built.parameters()) == weights


def test_wide_resnets_have_the_published_sizes():
    assert wide_resnet_size(10, 10) == pytest.approx(36.5e6, rel=2e-3)  # Zagoruyko & Komodakis 2016, table 4
    assert wide_resnet_size(2, 10) == pytest.approx(1.5e6, rel=3e-2)  # "1.5 million", Berthelot et al. 2019


@pytest.mark.parametrize("network", ["resnet-18", "wide-resnet-28-2", "small-cnn"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (2, 9, 13)])
def test_features_and_logits(network, shape):
    built = build_classifier(training(network, head_layers=2), shape, 7, 0.5).eval()
    inputs = torch.randn(3, *shape)
    features = built.features(inputs)
    assert features.shape == (3, built.width)
    assert (features >= 0).all()
    assert built(inputs).shape == (3, 7)
    torch.testing.assert_close(built.head(features), built(inputs))


def test_the_stem_follows_the_size_of_the_images():
    def first(side):
        return next(iter(build_classifier(training("resnet-18"), (3, side, side), 2, 0).encoder))

    assert (first(64).kernel_size, first(64).stride) == ((3, 3), (1, 1))
    assert (first(65).kernel_size, first(65).stride) == ((7, 7), (2, 2))


def test_masks_are_those_of_the_seed_and_loop():
    masks = dropout_masks(200, 64, 0.25, [12345, 0])
    np.testing.assert_array_equal(masks, dropout_masks(200, 64, 0.25, [12345, 0]))
    assert not np.array_equal(masks, dropout_masks(200, 64, 0.25, [12345, 1]))
    assert not np.array_equal(masks, dropout_masks(200, 64, 0.25, [12346, 0]))
    assert set(np.unique(masks)) == {np.float32(0), np.float32(4 / 3)}
    assert (masks > 0).mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / masks.size))
    assert len(np.unique(masks, axis=0)) == 200
    np.testing.assert_array_equal(dropout_masks(2, 5, 0.0, [1, 2]), np.ones((2, 5)))


def test_a_member_is_the_same_network_for_every_image():
    built = build_classifier(training("small-cnn"), (1, 8, 8), 3, 0.5).eval()
    features = torch.rand(20, built.width)
    masks = dropout_masks(4, built.width, 0.5, [1, 0])
    with torch.inference_mode():
        together = built.committee(features, masks).numpy()
        alone = np.concatenate([built.committee(part, masks).numpy() for part in features.split(1)], axis=2)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    weight, bias = (each.detach().numpy().astype(float) for each in built.head[0].parameters())
    for member, image in [(0, 0), (3, 19)]:
        logits = weight @ (features[image].numpy() * masks[member]) + bias
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(together[member, :, image], expected, atol=1e-6)
    assert together.std(axis=0).max() > 0.01  # members differ
