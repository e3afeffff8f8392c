"""Maps that say nothing about what a network learned."""

import copy

import pytest
import torch

from .nets import network, samples, surroundings
from .support import explain


def test_random_maps_depend_on_seed_and_content_only():
    model, _ = network("image", "cnn")
    inputs, targets = samples("image")
    inputs = inputs[[0, 1, 0]]
    maps = explain("random-map", model, inputs, targets[:3], surroundings(model, "image", "cnn", seed=1))
    assert torch.equal(maps[0], maps[2])
    assert not torch.equal(maps[0], maps[1])
    others = explain("random-map", model, inputs, targets[:3], surroundings(model, "image", "cnn", seed=2))
    assert (maps != others).float().mean() > 0.99
    # 512 uniform numbers: mean 1/2 with standard error 0.013, variance 1/12
    assert float(maps[:2].mean()) == pytest.approx(0.5, abs=0.05)
    assert float(maps[:2].var()) == pytest.approx(1 / 12, abs=0.015)


def test_constant_maps_are_constant():
    model, _ = network("volume", "cnn")
    inputs, targets = samples("volume")
    assert torch.equal(explain("constant-map", model, inputs, targets), torch.ones(4, 1, 8, 8, 8))


def test_edges_of_a_step():
    model, _ = network("image", "cnn")
    step = torch.zeros(1, 2, 9, 9)
    step[:, 0, :, 5:] = 1  # in one of two channels
    maps = explain("edge-map", model, step, torch.tensor([0]), surroundings(model, "image", "cnn"))
    expected = torch.zeros(1, 1, 9, 9)
    expected[..., 4:6] = 4 / 2  # Sobel's weights 1, 2, 1 beside the step
    torch.testing.assert_close(maps, expected)


def test_edges_of_a_cloud_are_distances_to_its_centroid():
    model, _ = network("point-cloud", "cnn")
    points = torch.tensor([[[1.0, 0, 0], [1, 4, 0], [1, 2, 6]]]).transpose(1, 2)  # around (1, 2, 2)
    maps = explain("edge-map", model, points, torch.tensor([0]), surroundings(model, "point-cloud", "cnn"))
    torch.testing.assert_close(maps, torch.tensor([[[8.0, 8.0, 16.0]]]).sqrt())


@pytest.mark.parametrize(("modality", "architecture"), [("image", "cnn"), ("image", "transformer")])
def test_randomised_saliency_knows_no_weight(modality, architecture):
    pytest.importorskip("captum")
    model, _ = network(modality, architecture)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.normal_()
        for module in other.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    inputs, targets = samples(modality)
    maps = explain("randomised-saliency", model, inputs, targets)
    assert torch.equal(maps, explain("randomised-saliency", other, inputs, targets))
    assert not torch.allclose(maps, explain("saliency", model, inputs, targets))
