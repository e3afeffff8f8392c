import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.embedded import mnist_5k
from harness.tracks.confidence.networks import FAMILIES, build_network, load_network, to_inputs
from harness.tracks.confidence.training import make_splits, read_recipe

FOLDER = Path(__file__).parents[3] / "datasets" / "confidence-mnist"
MODELS = [(family, seed) for family in FAMILIES for seed in range(3)]
INPUTS = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_the_splits_are_disjoint_stratified_and_mixed() -> None:
    splits = json.loads((FOLDER / "splits.json").read_text())
    labels = mnist_5k()[1]
    assert make_splits(read_recipe(FOLDER).splits, labels, 8) == splits
    assert {name: len(part) for name, part in splits.items()} == {"train": 800, "validation": 600, "test": 2600}
    indices = np.concatenate(list(splits.values()))
    assert sorted(indices) == np.flatnonzero(labels < 8).tolist()
    for part in splits.values():  # any leading part has the classes in equal shares
        assert labels[part].tolist() == list(range(8)) * (len(part) // 8)


@pytest.mark.parametrize(("family", "seed"), MODELS)
def test_a_model_is_small_and_right_in_94_to_96_percent(family: str, seed: int) -> None:
    path = FOLDER / "models" / f"{family}-{seed}.safetensors"
    assert path.stat().st_size < 300_000
    network = load_network(path, family, 8)
    assert not network.training
    images, labels = mnist_5k()
    test = json.loads((FOLDER / "splits.json").read_text())["test"]
    with torch.inference_mode():
        right = network(to_inputs(images[test], 0.1307, 0.3081)).argmax(dim=1).numpy() == labels[test]
    assert 0.94 <= right.mean() <= 0.961
    assert (~right).sum() >= 100


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_is_a_classifier_with_a_linear_last_layer(family: str) -> None:
    network = build_network(family, 5).eval()
    outputs = network.outputs(INPUTS)
    assert network(INPUTS).shape == (3, 5)
    assert torch.allclose(network(INPUTS), outputs.logits)
    assert network.classifier.weight.shape == (5, outputs.features.shape[1])
    assert outputs.features.shape[1] <= 64
    assert torch.allclose(network.classifier(outputs.features), outputs.logits)
    assert outputs.confidence.shape == (3,)
    assert ((outputs.confidence >= 0) & (outputs.confidence <= 1)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_suits_attribution_methods(family: str) -> None:
    network = build_network(family, 8).eval()
    calls: Counter[str] = Counter()
    for name, module in network.named_modules():
        assert not isinstance(module, nn.Flatten)
        assert not getattr(module, "inplace", False)
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    network(INPUTS)
    assert set(calls.values()) == {1}
    assert not any(name.startswith("head") for name in calls)
    assert any(isinstance(module, nn.AdaptiveAvgPool2d) for module in network.modules())


def test_deep_gamblers_confidence_is_one_minus_the_reservation() -> None:
    outputs = build_network("deep-gamblers", 8).eval().outputs(INPUTS)
    everything = torch.cat([outputs.logits, outputs.head_logit[:, None]], dim=1).softmax(dim=1)
    assert torch.allclose(outputs.confidence, 1 - everything[:, -1])


def test_masks_are_seeded_and_drop_the_stated_share() -> None:
    network = build_network("plain", 8)
    masks = network.sample_masks(members=200, seed=1)
    again = network.sample_masks(members=200, seed=1)
    assert all(
        torch.equal(a.trunk, b.trunk) and torch.equal(a.features, b.features) for a, b in zip(masks, again, strict=True)
    )
    assert not torch.equal(masks[0].features, masks[1].features)
    assert not torch.equal(masks[0].trunk, network.sample_masks(members=1, seed=2)[0].trunk)
    dropped = torch.stack([mask.features == 0 for mask in masks]).float().mean().item()
    assert dropped == pytest.approx(network.feature_dropout.p, abs=0.02)
    assert torch.stack([mask.trunk for mask in masks]).mean().item() == pytest.approx(1.0, abs=0.01)


def test_inputs_are_normalised() -> None:
    images = np.array([[[0, 255]]], dtype=np.uint8)
    expected = torch.tensor([[[[-0.1307 / 0.3081, (1 - 0.1307) / 0.3081]]]])
    assert torch.allclose(to_inputs(images, 0.1307, 0.3081), expected)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="ensemble"):
        build_network("ensemble", 8)
