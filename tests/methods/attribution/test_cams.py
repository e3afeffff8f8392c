"""Class activation maps of networks that end in a mean and a linear layer, where gradients are known."""

import numpy as np
import pytest
import torch

from harness.methods.context import Anatomy
from harness.methods.outputs import NotOfferedError

from .nets import network, samples, surroundings
from .support import explain


def activations_of(model, inputs):
    seen = []
    handle = model.features.register_forward_hook(lambda m, a, out: seen.append(out.detach().numpy()))
    with torch.no_grad():
        model(inputs)
    handle.remove()
    return seen[0]


def as_map(coarse, spatial):
    """Enlarged linearly between the centres of the cells, and brought to [0, 1]."""
    for axis, side in enumerate(spatial):
        cells = coarse.shape[axis]
        centres = (np.arange(cells) + 0.5) * side / cells - 0.5
        coarse = np.apply_along_axis(lambda line, c=centres, s=side: np.interp(np.arange(s), c, line), axis, coarse)
    return (coarse - coarse.min()) / max(coarse.max() - coarse.min(), 1e-300)


def task(modality):
    model, anatomy = network(modality, "cnn")
    inputs, targets = samples(modality)
    model.double()
    return model, inputs.double(), targets, surroundings(model, modality, "cnn", anatomy)


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_grad_cam_weighs_channels_as_the_last_layer_does(modality):
    model, inputs, targets, context = task(modality)
    maps = explain("grad-cam", model, inputs, targets, context)
    weight = model.classifier.weight.detach().numpy()
    for found, activations, target in zip(maps, activations_of(model, inputs), targets, strict=True):
        combined = np.maximum(np.tensordot(weight[target], activations, axes=1), 0)
        np.testing.assert_allclose(found[0], as_map(combined, inputs.shape[2:]), atol=1e-9)


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_grad_cam_plus_plus_by_its_formula(modality):
    model, inputs, targets, context = task(modality)
    maps = explain("grad-cam-plus-plus", model, inputs, targets, context)
    for found, activations, target in zip(maps, activations_of(model, inputs), targets, strict=True):
        combined = 0.0
        for channel, weight in zip(activations, model.classifier.weight[target].tolist(), strict=True):
            slope = weight / channel.size  # of a mean, the same everywhere
            alpha = slope**2 / (2 * slope**2 + channel.sum() * slope**3 + 1e-6)
            combined = combined + channel.size * max(slope, 0) * alpha * channel
        np.testing.assert_allclose(found[0], as_map(np.maximum(combined, 0), inputs.shape[2:]), atol=1e-9)


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_score_cam_masks_the_input_with_every_channel(modality):
    model, inputs, targets, context = task(modality)
    maps = explain("score-cam", model, inputs, targets, context)
    for index, activations in enumerate(activations_of(model, inputs)):
        logits = []
        for channel in activations:
            masked = inputs[index].numpy() * as_map(channel, inputs.shape[2:])
            logits.append(float(model(torch.from_numpy(masked)[None]).detach()[0, targets[index]]))
        weights = np.exp(logits) / np.exp(logits).sum()
        combined = np.maximum(np.tensordot(weights, activations, axes=1), 0)
        np.testing.assert_allclose(maps[index, 0], as_map(combined, inputs.shape[2:]), atol=1e-9)


@pytest.mark.parametrize(("modality", "grid"), [("image", (4, 4)), ("volume", (2, 2, 2))])
def test_tokens_are_laid_out_without_the_class_token(modality, grid):
    model, anatomy = network(modality, "transformer")
    model.double()
    inputs, targets = samples(modality)
    inputs = inputs.double()
    maps = explain("grad-cam", model, inputs, targets, surroundings(model, modality, "transformer", anatomy))
    last = model.blocks[1]
    for found, sample, target in zip(maps, inputs, targets, strict=True):
        before = model.blocks[0](model.tokens(sample[None])).detach()
        tokens = last.norm1(before).detach().requires_grad_()
        after = before + last.attention(tokens)
        logit = model.head(model.norm(after + last.mlp(last.norm2(after)))[:, 0])[0, target]
        gradient = torch.autograd.grad(logit, tokens)[0][0, 1:].numpy()
        combined = np.maximum(tokens.detach()[0, 1:].numpy() @ gradient.mean(axis=0), 0)
        np.testing.assert_allclose(found[0], as_map(combined.reshape(grid), inputs.shape[2:]), atol=1e-9)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam-plus-plus", "score-cam", "score-cam-latec"])
@pytest.mark.parametrize(
    ("layer", "grid", "words"),
    [
        ("head", (4, 4), r"gives shape \(\d, 5\), neither \(n, channels, \*grid\) nor tokens"),
        ("blocks.1.norm1", (5, 4), r"gives 17 tokens, not a class token and those of the grid \[5, 4\]; mend"),
        ("blocks.1.norm1", None, "does not offer a grid of tokens"),
    ],
)
def test_a_layer_that_has_no_place_in_space_is_said(method, layer, grid, words):
    model, _ = network("image", "transformer")
    given = surroundings(model, "image", "transformer", Anatomy(cam_layer=layer, grid=grid))
    with pytest.raises(NotOfferedError, match=words):
        explain(method, model, *samples("image"), given)
