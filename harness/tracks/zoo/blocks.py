"""Blocks that networks of several tracks share. Attribution methods look inside them: nothing works in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Add(nn.Module):
    """A residual sum as a module, so that relevance can be propagated through it."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Attention(nn.Module):
    """Multi-head self-attention (n, t, dim) -> (n, t, dim) whose probabilities are the output of `softmax`.

    The 3 dim outputs of `qkv` are ordered as (query, key, value) x heads x dim / heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        n, t, dim = tokens.shape
        query, key, value = self.qkv(tokens).view(n, t, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        scale = (dim // self.heads) ** -0.5
        probabilities = self.softmax((query * scale) @ key.transpose(-2, -1))
        out: Tensor = self.projection((probabilities @ value).transpose(1, 2).reshape(n, t, dim))
        return out


class TransformerBlock(nn.Module):
    """A pre-norm transformer block, (n, t, dim) -> (n, t, dim)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.add1 = Add()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.add2 = Add()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.add1(tokens, self.attention(self.norm1(tokens)))
        out: Tensor = self.add2(tokens, self.mlp(self.norm2(tokens)))
        return out


class ClassToken(nn.Module):
    """Token 0 of tokens (n, 1 + t, dim)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


class Transformer(nn.Module):
    """A vision transformer over the output of `tokens`, (n, dim, *grid), behind a class token.

    positions: how many have a learned position. 0 for point clouds, whose tokens know where they are and must not
    depend on their order.
    """

    def __init__(self, tokens: nn.Module, positions: int, dim: int, depth: int, heads: int, classes: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.class_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 1 + positions, dim) * 0.02) if positions else None
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.pool = ClassToken()
        self.classifier = nn.Linear(dim, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.norm(self.blocks(self.embed(inputs)))))
        return logits

    def embed(self, inputs: Tensor) -> Tensor:
        """Tokens (n, 1 + t, dim) with their positions, the class token first."""
        tokens = self.tokens(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return tokens if self.positions is None else tokens + self.positions

    def _for_inference(self) -> nn.Module:
        """See `harness.metrics.attribution._prepared.prepared`."""
        return _LogitsAlone(self)


class _LogitsAlone(nn.Module):
    """The logits of a transformer: of its last block only the class token is computed, and no attention is kept."""

    def __init__(self, whole: Transformer) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, inputs: Tensor) -> Tensor:
        whole = self.whole
        tokens = whole.embed(inputs)
        *blocks, last = whole.blocks
        for block in blocks:
            tokens = _block(block, tokens, lambda each: each)
        tokens = _block(last, tokens, lambda each: each[:, :1])
        logits: Tensor = whole.classifier(whole.pool(whole.norm(tokens)))
        return logits


def _block(block: Any, tokens: Tensor, wanted: Callable[[Tensor], Tensor]) -> Tensor:
    """The tokens (n, q, dim) that are wanted of what a block gives for (n, t, dim)."""
    normed = block.norm1(tokens)
    found = block.add1(wanted(tokens), _attended(block.attention, wanted(normed), normed))
    out: Tensor = block.add2(found, block.mlp(block.norm2(found)))
    return out


def _attended(attention: Attention, queries: Tensor, tokens: Tensor) -> Tensor:
    """What `Attention` gives for those of the tokens (n, t, dim) that are queries (n, q, dim)."""
    dim = attention.projection.in_features
    query, key, value = (
        F.linear(inputs, weight, bias).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        for inputs, weight, bias in zip(
            (queries, tokens, tokens), attention.qkv.weight.split(dim), attention.qkv.bias.split(dim), strict=True
        )
    )
    out: Tensor = attention.projection(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
    return out
