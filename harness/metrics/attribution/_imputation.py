"""Linear imputation: missing pixels become weighted means of their neighbours, all of them at once.

The means are the solution of a sparse, symmetric, positive definite system: a graph Laplacian on the missing pixels.
Many such systems (all percentages of a sample, all channels) are solved together by conjugate gradients. Grids of hat
functions, each four times as coarse as the one before, carry what is known across large holes, so that about twenty
iterations are enough at any size (a multilevel additive Schwarz preconditioner, Bramble, Pasciak & Xu 1990, with
estimated diagonals).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

TOLERANCE = 3e-7
"""Largest residual, as a difference between a pixel and the mean of its neighbours for values in [0, 1]."""

_AT_ONCE = 1 << 16  # positions of systems that are solved together: what a processor's cache holds
_CHECK_EVERY = 4
_MOST_ITERATIONS = 10_000
_SPACING = 4
_SMALL = 1 << 14  # numbers of a matrix that is multiplied faster as a whole than axis by axis


def imputed(inputs: Tensor, missing: Tensor) -> Tensor:
    """Inputs with their missing positions filled, (m, c, *spatial).

    inputs (m, c, *spatial); missing (m, p) bool, at least one position is known. A missing position gets the weighted
    mean of its neighbours, missing or not: all adjacent positions, with half the weight for each axis beyond the first
    along which they differ. Two dimensions: sides 1/6, corners 1/12 (Rong et al. 2022). Three: faces 1/14, edges
    1/28, corners 1/56. Neighbours beyond the border have no weight.
    """
    channels, spatial = inputs.shape[1], inputs.shape[2:]
    values = inputs.flatten(0, 1).to(torch.float32)
    low = values.flatten(1).amin(dim=1).view(-1, *[1] * len(spatial))
    span = (values.flatten(1).amax(dim=1).view_as(low) - low).clamp_min(torch.finfo(torch.float32).tiny)
    holes = missing.repeat_interleave(channels, dim=0).view(-1, *spatial)
    lattice, size = _lattice(tuple(spatial)), max(1, _AT_ONCE // prod(spatial))
    parts = zip(((values - low) / span).split(size), holes.split(size), strict=True)
    solved = torch.cat([_solve(part, hole, lattice) for part, hole in parts]) * span + low
    return torch.where(holes, solved, values).view_as(inputs).to(inputs.dtype)


@lru_cache(maxsize=4)
def _lattice(spatial: tuple[int, ...]) -> _Lattice:
    return _Lattice(spatial)


class _Lattice:
    """Sums over neighbours, and hat functions, on a grid whose axes are each followed by a 0 and which is then flattened.

    Positions one step apart along an axis are then a fixed number apart, and what lies beyond a border is 0.
    """

    def __init__(self, spatial: tuple[int, ...]) -> None:
        self.spatial = spatial
        self.padded = tuple(size + 1 for size in spatial)
        self._strides = [prod(self.padded[axis + 1 :]) for axis in range(len(spatial))]
        self.inside = self.flat(torch.ones(1, *spatial))
        self.weights = self.sums(self.inside)
        self.hats: list[list[Tensor]] = []
        """Of spacing 4, 16, ...: matrices from each grid to the next, which takes a fourth along each axis."""
        hats = [_padded_hats(size) for size in spatial]
        while max(len(each) for each in hats) > _SPACING:
            small = prod(each.numel() for each in hats) <= _SMALL
            self.hats.append([reduce(torch.kron, hats)] if small else hats)
            hats = [_hats(each.shape[1]) for each in hats]

    def flat(self, values: Tensor) -> Tensor:
        return F.pad(values, (0, 1) * len(self.spatial)).flatten(1)

    def grid(self, flat: Tensor) -> Tensor:
        inner = flat.view(-1, *self.padded)
        for axis, size in enumerate(self.spatial):
            inner = inner.narrow(axis + 1, 0, size)
        return inner

    def sums(self, flat: Tensor) -> Tensor:
        """Each position and its neighbours with weights (1, 2, 1) along each axis: the position itself counts 2^d."""
        values = F.pad(flat.reshape(-1), (sum(self._strides), sum(self._strides)))
        for stride in self._strides:
            values = values[stride:] + values[:-stride]
            values = values[stride:] + values[:-stride]
        return values.view_as(flat)


class _Preconditioner:
    """An approximate inverse: the diagonal, and hat functions of spacing 4, 16, ..., restricted to what is missing."""

    def __init__(self, lattice: _Lattice, missing: Tensor, leak: Tensor) -> None:
        dimensions = len(lattice.spatial)
        self._padded = lattice.padded
        self._missing = missing
        self._inverse = 1 / (lattice.weights - 2**dimensions).clamp_min(1.0)
        self._levels = []
        # What holds a hat down: the known pixels under it, and how steep it is.
        held, open_ = leak.view(-1, *lattice.padded), missing.view(-1, *lattice.padded)
        for level, down in enumerate(lattice.hats, start=1):
            held, open_ = _along_axes(held, down), _along_axes(open_, down)
            diagonal = held + open_ * (3 * 4 ** (dimensions - 1) / _SPACING ** (2 * level))
            inverse = torch.where(diagonal > 0, 1 / diagonal, torch.zeros_like(diagonal))
            self._levels.append((down, [each.T.contiguous() for each in down], inverse))

    def __call__(self, residual: Tensor) -> Tensor:
        grids = [residual.view(-1, *self._padded)]
        for down, _, _ in self._levels:
            grids.append(_along_axes(grids[-1], down))
        coarse = torch.zeros_like(grids[-1])
        for (_, up, inverse), grid in zip(reversed(self._levels), reversed(grids), strict=False):
            coarse = _along_axes(torch.addcmul(coarse.view_as(grid), grid, inverse), up)
        return torch.addcmul(residual * self._inverse, self._missing, coarse.view_as(residual))

    def keep(self, live: Tensor) -> None:
        self._missing = self._missing[live]
        self._levels = [(down, up, inverse[live]) for down, up, inverse in self._levels]


def _solve(values: Tensor, holes: Tensor, lattice: _Lattice) -> Tensor:
    """Values (m, *spatial) float32 with the holes filled. Systems that are solved leave at fixed iterations.

    So no system's result depends on the others that are solved with it.
    """
    missing = lattice.flat(holes.to(torch.float32))
    known = lattice.inside - missing
    x = lattice.flat(values) * known
    x = x + missing * (x.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True))
    around = missing * lattice.weights
    precondition = _Preconditioner(lattice, missing, around - missing * lattice.sums(missing))
    residual = missing * lattice.sums(x) - around * x
    step = precondition(residual)
    slope = _dot(residual, step)
    result, live = x.clone(), torch.arange(len(x))
    limit = TOLERANCE * float(lattice.weights.max())
    for iteration in range(1, _MOST_ITERATIONS):
        bent = torch.addcmul(around * step, missing, lattice.sums(step), value=-1)
        length = slope / _dot(step, bent).clamp_min(torch.finfo(torch.float32).tiny)
        x.addcmul_(length, step)
        residual.addcmul_(length, bent, value=-1)
        if iteration % _CHECK_EVERY == 0:
            left = residual.abs().amax(dim=1) > limit
            if not bool(left.all()):
                result[live[~left]] = x[~left]
                if not bool(left.any()):
                    break
                live, x, residual, step, slope = (each[left] for each in (live, x, residual, step, slope))
                missing, around = missing[left], around[left]
                precondition.keep(left)
        better = precondition(residual)
        previous, slope = slope, _dot(residual, better)
        step.mul_(slope / previous.clamp_min(torch.finfo(torch.float32).tiny)).add_(better)
    return lattice.grid(result)


def _padded_hats(size: int) -> Tensor:
    return F.pad(_hats(size), (0, 0, 0, 1))


def _hats(size: int) -> Tensor:
    """Hat functions (size, count), about `_SPACING` apart, that sum to 1 everywhere; constant on a single position."""
    count = -(-(size - 1) // _SPACING) + 1
    if count == 1:
        return torch.ones(size, 1)
    centres = torch.linspace(0, size - 1, count)
    distance = (torch.arange(size)[:, None] - centres).abs() * ((count - 1) / (size - 1))
    return (1 - distance).clamp_min(0.0)


def _along_axes(grids: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Grids (m, s_1, s_2, ...) multiplied by the matrices (s_i, t_i) along their axes: (m, t_1, t_2, ...).

    One matrix (s_1 * s_2 * ..., t) takes all axes together.
    """
    grids = grids.reshape(-1, *[each.shape[0] for each in matrices])
    *others, last = matrices
    grows = last.shape[1] > last.shape[0]  # then the last axis comes first: the fastest order, either way
    if grows:
        grids = grids @ last
    for axis, matrix in enumerate(others, start=1):
        before, behind = grids.shape[:axis], grids.shape[axis + 1 :]
        grids = (matrix.T @ grids.reshape(prod(before), matrix.shape[0], -1)).view(*before, matrix.shape[1], *behind)
    return grids if grows else grids @ last


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True)
