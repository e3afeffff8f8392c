from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.embedded import mnist_5k
from harness.tracks.confidence.inference import run_model
from harness.tracks.confidence.networks import FAMILIES, ConfidenceNetwork, build_network, load_network, to_inputs

FOLDER = Path(__file__).parents[3] / "datasets" / "confidence-mnist"
INPUTS = to_inputs(mnist_5k()[0][::100], 0.1307, 0.3081)


@pytest.fixture(params=FAMILIES)
def network(request: pytest.FixtureRequest) -> ConfidenceNetwork:
    return load_network(FOLDER / "models" / f"{request.param}-0.safetensors", request.param, 8)


def test_shapes_and_ranges(network: ConfidenceNetwork) -> None:
    outputs = run_model(network, INPUTS, members=4)
    n = len(INPUTS)
    assert {key: array.shape for key, array in outputs.items()} == {
        "logits": (n, 8),
        "features": (n, network.classifier.in_features),
        "mc_logits": (4, n, 8),
        "head_confidence": (n,),
        "mc_head_confidence": (4, n),
    }
    for key, array in outputs.items():
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        if key.endswith("confidence"):
            assert ((array >= 0) & (array <= 1)).all()


def test_logits_are_those_of_the_classifier(network: ConfidenceNetwork) -> None:
    outputs = run_model(network, INPUTS, members=1)
    with torch.inference_mode():
        assert np.allclose(outputs["logits"], network(INPUTS).numpy(), atol=1e-4)
    weight = network.classifier.weight.detach().numpy()
    bias = network.classifier.bias.detach().numpy()
    assert np.allclose(outputs["features"] @ weight.T + bias, outputs["logits"], atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_neither_batch_size_nor_order_matters(network: ConfidenceNetwork, batch_size: int) -> None:
    whole = run_model(network, INPUTS, members=3)
    order = np.random.default_rng(0).permutation(len(INPUTS))
    parts = run_model(network, INPUTS[order], members=3, batch_size=batch_size)
    for key, array in parts.items():
        samples = whole[key][:, order] if key.startswith("mc_") else whole[key][order]
        assert np.allclose(array, samples, rtol=1e-4, atol=1e-4)


def test_members_come_from_the_seed_and_do_not_depend_on_their_number(network: ConfidenceNetwork) -> None:
    five = run_model(network, INPUTS, members=5, seed=1)["mc_logits"]
    two = run_model(network, INPUTS, members=2, seed=1)["mc_logits"]
    assert np.array_equal(five[:2], two)
    assert not np.allclose(five[0], five[1])
    assert not np.allclose(five, run_model(network, INPUTS, members=5, seed=2)["mc_logits"])


def test_members_scatter_around_the_network_without_dropout(network: ConfidenceNetwork) -> None:
    outputs = run_model(network, INPUTS, members=200)
    agree = outputs["mc_logits"].mean(axis=0).argmax(axis=1) == outputs["logits"].argmax(axis=1)
    assert agree.mean() > 0.9


def test_the_network_and_torch_are_left_as_they_should_be() -> None:
    network = build_network("plain", 8).train()
    threads = torch.get_num_threads()
    run_model(network, INPUTS[:2], members=1)
    assert not network.training
    assert torch.get_num_threads() == threads


def test_no_images_give_empty_arrays() -> None:
    outputs = run_model(build_network("devries", 8), INPUTS[:0], members=2)
    assert outputs["logits"].shape == (0, 8)
    assert outputs["mc_logits"].shape == (2, 0, 8)
