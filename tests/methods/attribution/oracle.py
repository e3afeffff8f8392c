"""Relevance propagation through the transformer of `nets`, spelled out in numpy for one sample in float64."""

from __future__ import annotations

import numpy as np
from scipy.special import erf, softmax


def relevance(net, sample, target):
    """(token relevance before the first block, [attention relevance of each block], [attention of each block])."""
    tokens = net.tokens(sample[None])[0].detach().numpy()
    steps = []
    for block in net.blocks:
        tokens, step = _forward(block, tokens)
        steps.append(step)
    weight, _ = _weights(net.head)
    normed = _norm(net.norm, tokens)
    start = np.zeros(len(weight))
    start[target] = 1
    share = np.zeros_like(tokens)
    share[0] = _linear_rule(weight, normed[:1], start[None])[0]
    of_attention = []
    for block, step in zip(list(net.blocks)[::-1], steps[::-1], strict=True):
        share, of_probabilities = _backward(block, step, share)
        of_attention.insert(0, of_probabilities)
    return share, of_attention, [step["probabilities"] for step in steps]


def patch_relevance(net, sample, share):
    """(c, *spatial) relevance of a sample whose patches of 4 x 4 pixels were embedded by a convolution."""
    weight = net.embed.weight.detach().numpy()
    sample, out = sample.numpy(), np.zeros(sample.shape)
    side = sample.shape[-1] // 4
    for token, of_token in enumerate(share[1:]):
        row, column = divmod(token, side)
        place = np.s_[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        patch = sample[place].reshape(1, -1)
        rule = _linear_rule(weight.reshape(len(weight), -1), patch, of_token[None])
        out[place] = rule.reshape(sample[place].shape)
    return out


def point_relevance(net, sample, share):
    """(3, p) relevance of points that were embedded one by one; lost where no coordinate speaks for a feature."""
    return _linear_rule(net.embed.weight.detach().numpy()[:, :, 0], sample.numpy().T, share[1:]).T


def _forward(block, tokens):
    heads, dim = block.attention.heads, tokens.shape[1]
    step = {"tokens": tokens, "normed1": _norm(block.norm1, tokens)}
    qkv = _apply(block.attention.qkv, step["normed1"])
    # (query, key, value) x heads x dim / heads
    parts = [[qkv[:, p * dim + h * dim // heads :][:, : dim // heads] for h in range(heads)] for p in range(3)]
    step["query"], step["key"], step["value"] = parts
    step["scores"] = [q @ k.T for q, k in zip(parts[0], parts[1], strict=True)]
    step["probabilities"] = [softmax(s / np.sqrt(dim // heads), axis=1) for s in step["scores"]]
    step["mixed"] = np.concatenate([p @ v for p, v in zip(step["probabilities"], parts[2], strict=True)], axis=1)
    step["change1"] = _apply(block.attention.projection, step["mixed"])
    step["middle"] = tokens + step["change1"]
    step["normed2"] = _norm(block.norm2, step["middle"])
    hidden = _apply(block.mlp[0], step["normed2"])
    step["active"] = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    step["change2"] = _apply(block.mlp[2], step["active"])
    return step["middle"] + step["change2"], step


def _backward(block, step, share):
    skip, change = _normalised(share, *_sum_shares(share, step["middle"], step["change2"]))
    hidden = _linear_rule(_weights(block.mlp[2])[0], step["active"], change)
    share = skip + _linear_rule(_weights(block.mlp[0])[0], step["normed2"], hidden)
    skip, change = _normalised(share, *_sum_shares(share, step["tokens"], step["change1"]))
    mixed = _linear_rule(_weights(block.attention.projection)[0], step["mixed"], change)
    heads = block.attention.heads
    of_mixed = np.split(mixed, heads, axis=1)
    pairs = [_product_shares(*each) for each in zip(of_mixed, step["probabilities"], step["value"], strict=True)]
    of_probabilities, of_value = _normalised(mixed, *map(np.stack, zip(*pairs, strict=True)))
    pairs = [_product_shares(r, q, k.T) for r, q, k in zip(of_probabilities, step["query"], step["key"], strict=True)]
    of_query, of_key = _normalised(of_probabilities, *map(np.stack, zip(*pairs, strict=True)))
    of_qkv = np.concatenate([*of_query, *(each.T for each in of_key), *of_value], axis=1)
    return skip + _linear_rule(_weights(block.attention.qkv)[0], step["normed1"], of_qkv), of_probabilities


def _linear_rule(weight, inputs, share):
    """Each output's relevance to its inputs in proportion to their positive contributions."""
    out = np.zeros_like(inputs)
    for row, x in enumerate(inputs):
        positive = np.maximum(weight * x, 0)  # (out, in)
        total = positive.sum(axis=1)
        for unit in np.flatnonzero(total):
            out[row] += share[row, unit] * positive[unit] / total[unit]
    return out


def _product_shares(share, left, right):
    """Relevance of (i, j) to each product left[i, k] right[k, j], and so to both factors."""
    contributions = left[:, :, None] * right[None]  # (i, k, j)
    flow = contributions * (share / contributions.sum(axis=1))[:, None]
    return flow.sum(axis=2), flow.sum(axis=0)


def _sum_shares(share, first, second):
    return share * first / (first + second), share * second / (first + second)


def _normalised(share, first, second):
    a, b, total = first.sum(), second.sum(), share.sum()
    return (
        first * abs(a) / (abs(a) + abs(b)) * total / a,
        second * abs(b) / (abs(a) + abs(b)) * total / b,
    )


def _weights(linear):
    return linear.weight.detach().numpy(), linear.bias.detach().numpy()


def _apply(linear, inputs):
    weight, bias = _weights(linear)
    return inputs @ weight.T + bias


def _norm(layer, tokens):
    mean, variance = tokens.mean(axis=1, keepdims=True), tokens.var(axis=1, keepdims=True)
    scaled = (tokens - mean) / np.sqrt(variance + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()
