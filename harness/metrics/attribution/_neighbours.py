"""Inputs near each sample: made a few samples at a time, run, and explained again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.metrics.attribution.explanations import AT_ONCE, explained

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.metrics.attribution.map_batch import MapBatch, Reading

    Near = Callable[[int], Tensor]
    """Inputs (draws, c, *spatial) near the sample of this position. Made for one pass: each sample is asked once."""
    Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def noisy(samples: MapBatch, purpose: str, draws: int, noise: Noise, reading: Reading) -> Near:
    """Samples plus noise of their own streams; of one purpose, draws and noise it is the same for all metrics.

    In LATEC's reading the first number of a sample (flat index 0) gets no noise: Quantus' `perturb_batch`, in LATEC's
    fork and up to 0.6, hands all indices but the first to the function that perturbs.
    """
    import torch

    generators = samples.generators(purpose)

    def near(row: int) -> Tensor:
        one = samples.inputs[row].detach()
        drawn = torch.from_numpy(noise(generators[row], (draws, *one.shape)))
        if reading == "latec":
            drawn.flatten(1)[:, 0] = 0.0
        return (one.to(torch.float64) + drawn).to(one.dtype)

    return near


def translated(one: Tensor, offsets: Sequence[float]) -> Tensor:
    """A point cloud (c, p), moved along its first coordinate by each of the offsets: (m, c, p)."""
    moved = one.detach().repeat(len(offsets), 1, 1)
    moved[:, 0] += moved.new_tensor(offsets)[:, None]
    return moved


def shifted(one: Tensor, moves: Sequence[int], fill: Tensor) -> Tensor:
    """An image or volume (c, *spatial), moved along its last axis by each of the moves: (m, c, *spatial).

    fill (m, c), or (m, c, slices) with one for each slice of a volume: what enters at the border.
    """
    width = one.shape[-1]
    moved = fill.to(one.dtype).view(*fill.shape, *[1] * (1 + one.ndim - fill.ndim)).expand(-1, *one.shape).clone()
    for each, move in zip(moved, moves, strict=True):
        if 0 <= move < width:
            each[..., move:] = one[..., : width - move]
        elif -width < move < 0:
            each[..., :move] = one[..., -move:]
    return moved


def measured(samples: MapBatch, draws: int, near: Near, measure: Callable[[slice, Tensor], Tensor]) -> Tensor:
    """What is measured of nearby inputs, (n, draws, ...).

    measure: of rows of samples and all inputs near them (r * draws, c, *spatial), the values (r * draws, ...). No
    more inputs are made at once than may be asked about at once; those near one sample stay together.
    """
    import torch

    size = max(1, AT_ONCE // draws)
    parts = []
    for start in range(0, len(samples), size):
        rows = slice(start, min(start + size, len(samples)))
        inputs = torch.cat([near(row) for row in range(rows.start, rows.stop)])
        parts.append(measure(rows, inputs).unflatten(0, (-1, draws)))
    values: Tensor = torch.cat(parts)
    return values


def asked(
    samples: MapBatch, draws: int, near: Near, reading: Reading, measure: Callable[[slice, Tensor, Tensor], Tensor]
) -> Tensor:
    """What is measured of the method's maps of nearby inputs, (n, draws, ...).

    measure: of rows of samples, the inputs near them (r, draws, c * p), and the method's maps of these, number by
    number (r, draws, c * p), both float64, the values (r, draws, ...).
    """
    import torch

    def ask(rows: slice, inputs: Tensor) -> Tensor:
        targets = samples.targets[rows].repeat_interleave(draws)
        maps = explained(samples, inputs, targets).compared(reading).unflatten(0, (-1, draws))
        return measure(rows, inputs.to(torch.float64).flatten(1).view_as(maps), maps).flatten(0, 1)

    return measured(samples, draws, near, ask)


def patch_sums(values: Tensor, width: int) -> Tensor:
    """Sums (m, patches) of (m, c, *spatial) over channels and cubes of this width; the last along an axis is smaller."""
    return _of_patches(values, width, lambda part, axis: part.sum(dim=axis))


def patch_largest(values: Tensor, width: int) -> Tensor:
    """The largest value of each patch, (m, patches), as in `patch_sums`."""
    return _of_patches(values, width, lambda part, axis: part.amax(dim=axis))


def _of_patches(values: Tensor, width: int, take: Callable[[Tensor, int], Tensor]) -> Tensor:
    import torch

    taken = take(values, 1)
    for axis in range(1, taken.ndim):
        taken = torch.stack([take(part, axis) for part in taken.split(width, dim=axis)], dim=axis)
    return taken.flatten(1)


def norm(values: Tensor) -> Tensor:
    """Euclidean, of the last axis."""
    import torch

    lengths: Tensor = torch.linalg.vector_norm(values, dim=-1)
    return lengths
