"""Attention methods, against relevance and products spelled out in numpy."""

import numpy as np
import pytest
import torch

from harness.methods.baselines.attribution import _attention
from harness.methods.baselines.attribution._operations import trace
from harness.methods.baselines.attribution._relprop import transformer_relevance
from harness.methods.context import Anatomy
from harness.methods.outputs import NotOfferedError

from . import oracle
from .nets import network, samples, surroundings
from .support import explain

GRIDS = {"image": (4, 4), "volume": (2, 2, 2), "point-cloud": (32,)}


def task(modality, count=3):
    model, anatomy = network(modality, "transformer")
    inputs, targets = samples(modality, count)
    model.double()
    return model, inputs.double(), targets, surroundings(model, modality, "transformer", anatomy)


def relevance(model, sample, target, context):
    """(c, *spatial) of an input and (heads, tokens, tokens) of each block's attention."""
    found = trace(model, sample[None], target[None], whole_norms=True)
    of_input, of_attention = transformer_relevance(found, _attention.attention(found, context))
    return of_input[0], [each[0] for each in _attention.by_head(of_attention)]


def attention_gradients(model, inputs, targets, context):
    traces = [trace(model, *one) for one in zip(inputs.split(1), targets.split(1), strict=True)]
    found = [_attention.attention_gradients(each, _attention.attention(each, context)) for each in traces]
    return [torch.cat(each) for each in zip(*map(_attention.by_head, found), strict=True)]


def as_map(row, inputs, modality):
    """Class token's row (tokens,) to a map in [0, 1] (*spatial): linear interpolation between centres of patches."""
    coarse = row[1:].reshape(GRIDS[modality])
    for axis, side in enumerate(inputs.shape[2:]):
        patches = coarse.shape[axis]
        centres = (np.arange(patches) + 0.5) * side / patches - 0.5
        coarse = np.apply_along_axis(lambda line, c=centres, s=side: np.interp(np.arange(s), c, line), axis, coarse)
    return (coarse - coarse.min()) / (coarse.max() - coarse.min())


@pytest.mark.parametrize("modality", GRIDS)
def test_raw_attention_is_the_last_block_s(modality):
    model, inputs, targets, context = task(modality)
    maps = explain("raw-attention", model, inputs, targets, context)
    for sample, target, found in zip(inputs, targets, maps, strict=True):
        probabilities = oracle.relevance(model, sample, target)[2]
        np.testing.assert_allclose(found[0], as_map(np.mean(probabilities[-1], axis=0)[0], inputs, modality), atol=1e-9)


@pytest.mark.parametrize("modality", GRIDS)
def test_rollout_is_a_product_of_row_stochastic_matrices(modality):
    model, inputs, targets, context = task(modality)
    maps = explain("attention-rollout", model, inputs, targets, context)
    for sample, target, found in zip(inputs, targets, maps, strict=True):
        joint = np.eye(1 + np.prod(GRIDS[modality]))
        for probabilities in oracle.relevance(model, sample, target)[2]:
            flow = np.mean(probabilities, axis=0) + np.eye(len(joint))
            joint = flow / flow.sum(axis=1, keepdims=True) @ joint
        np.testing.assert_allclose(joint.sum(axis=1), 1)
        np.testing.assert_allclose(found[0], as_map(joint[0], inputs, modality), atol=1e-9)


@pytest.mark.parametrize("modality", GRIDS)
def test_relevance_of_attention_and_what_is_made_of_it(modality):
    model, inputs, targets, context = task(modality)
    gradients = attention_gradients(model, inputs, targets, context)
    rollouts = explain("attention-rollout-latec", model, inputs, targets, context)
    maps = explain("attention-lrp", model, inputs, targets, context)
    for index, (sample, target) in enumerate(zip(inputs, targets, strict=True)):
        _, relevances, _ = oracle.relevance(model, sample, target)
        found = relevance(model, sample, target, context)[1]
        for ours, expected in zip(found, relevances, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
        rolled, weighted = np.eye(1 + np.prod(GRIDS[modality])), np.eye(1 + np.prod(GRIDS[modality]))
        for of_block, gradient in zip(relevances, gradients, strict=True):
            rolled = (np.eye(len(rolled)) + np.maximum(of_block, 0).mean(axis=0)) @ rolled
            flow = np.maximum(gradient[index].numpy() * of_block, 0).mean(axis=0)
            weighted = (np.eye(len(rolled)) + flow) @ weighted
        np.testing.assert_allclose(rollouts[index, 0], as_map(rolled[0], inputs, modality), atol=1e-4)
        np.testing.assert_allclose(maps[index, 0], as_map(weighted[0], inputs, modality), atol=1e-4)


def test_gradients_of_attention_are_those_of_the_logit():
    """Against finite differences: probabilities of one head are raised by a little."""
    model, inputs, targets, context = task("image", 1)
    found = attention_gradients(model, inputs, targets, context)
    rng = np.random.default_rng(0)
    for block, gradient in zip(model.blocks, found, strict=True):
        direction = torch.from_numpy(rng.normal(size=gradient.shape))
        logits = []
        for step in (1e-5, -1e-5):
            handle = block.attention.softmax.register_forward_hook(lambda m, a, out, s=step, d=direction: out + s * d)
            logits.append(float(model(inputs).detach()[0, targets[0]]))
            handle.remove()
        slope = (logits[0] - logits[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6)


def test_relevance_of_pixels():
    model, inputs, targets, context = task("image")
    maps = explain("lrp", model, inputs, targets, context)
    assert maps.shape == (3, 1, 16, 16)
    for sample, target, found in zip(inputs, targets, maps, strict=True):
        share, _, _ = oracle.relevance(model, sample, target)
        expected = np.maximum(oracle.patch_relevance(model, sample, share).sum(axis=0), 0)
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_relevance_of_points():
    model, inputs, targets, context = task("point-cloud")
    for sample, target in zip(inputs, targets, strict=True):
        share, _, _ = oracle.relevance(model, sample, target)
        expected = oracle.point_relevance(model, sample, share)
        found, _ = relevance(model, sample, target, context)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_relevance_is_conserved(modality):
    """What the class token's relevance of 1 becomes: that of the inputs and that of the class token itself."""
    model, inputs, targets, context = task(modality)
    for sample, target in zip(inputs, targets, strict=True):
        share, of_attention, _ = oracle.relevance(model, sample, target)
        assert share.sum() == pytest.approx(1)
        of_input, found = relevance(model, sample, target, context)
        assert float(of_input.sum()) == pytest.approx(share[1:].sum(), abs=1e-4)
        for ours, expected in zip(found, of_attention, strict=True):
            assert float(ours.sum()) == pytest.approx(expected.sum(), abs=1e-4)


@pytest.mark.parametrize("name", ["raw-attention", "attention-rollout", "attention-rollout-latec", "attention-lrp"])
def test_attention_is_found_without_knowing_the_blocks(name):
    """After attention and the MLP, not before, and with parts of other names."""
    model, inputs, targets, context = task("image")
    usual = type(model.blocks[0])
    model.blocks[0].__class__ = type("PostNorm", (usual,), {"forward": lambda s, x: s.norm1(x + s.attention(x))})
    object.__setattr__(context._anatomy, "blocks", None)
    assert explain(name, model, inputs, targets, context).amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["raw-attention", "attention-rollout", "attention-rollout-latec", "attention-lrp"])
def test_heads_may_come_before_samples(name):
    def attend(self, tokens):
        n, t, dim = tokens.shape
        query, key, value = self.qkv(tokens).view(n, t, 3, self.heads, -1).permute(2, 3, 0, 1, 4).flatten(1, 2)
        probabilities = (query @ key.mT / (dim // self.heads) ** 0.5).softmax(-1)  # (heads * n, tokens, tokens)
        mixed = (probabilities @ value).unflatten(0, (self.heads, n))
        return self.projection(mixed.permute(1, 2, 0, 3).reshape(n, t, dim))

    model, inputs, targets, context = task("image")
    expected = explain(name, model, inputs, targets, context)
    for block in model.blocks:
        block.attention.__class__ = type("HeadsFirst", (type(block.attention),), {"forward": attend})
    torch.testing.assert_close(explain(name, model, inputs, targets, context), expected)


def test_soft_maxes_that_are_not_one_for_each_block_are_not_applicable():
    model, inputs, targets, context = task("image")

    def by_head(self, tokens):
        n, t, dim = tokens.shape
        query, key, value = self.qkv(tokens).view(n, t, 3, self.heads, -1).permute(2, 3, 0, 1, 4)
        mixed = [
            (q @ k.mT / (dim // self.heads) ** 0.5).softmax(-1) @ v for q, k, v in zip(query, key, value, strict=False)
        ]
        return self.projection(torch.cat(mixed, dim=-1))

    usual = type(model.blocks[0].attention)
    for block in model.blocks:
        block.attention.__class__ = type("ByHead", (usual,), {"forward": by_head})
    with pytest.raises(NotOfferedError, match="4 soft-maxes among its tokens in 2 blocks"):
        explain("attention-rollout", model, inputs, targets, context)


def test_without_attention_among_all_tokens_the_methods_are_not_applicable():
    model, _ = network("image", "cnn")
    context = surroundings(model, "image", "transformer", Anatomy(grid=(4, 4)))
    with pytest.raises(NotOfferedError, match="no soft-max over 17 tokens"):
        explain("attention-rollout", model, *samples("image"), context)


def test_tokens_that_are_no_points_are_not_applicable():
    model, inputs, targets, context = task("point-cloud")
    object.__setattr__(context._anatomy, "grid", (16, 2))
    with pytest.raises(NotOfferedError, match="single points"):
        explain("raw-attention", model, inputs, targets, context)
