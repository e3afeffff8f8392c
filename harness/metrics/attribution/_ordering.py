"""From attributions to perturbed inputs: places in an order, steps along it, and what stands in for what is removed.

Masks are made from places, a micro-batch at a time; none is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.metrics.attribution.base import Baseline
    from harness.metrics.attribution.forwards import Perturb
    from harness.metrics.attribution.map_batch import MapBatch, Reading

_MOST_STEPS = 50


def ties(samples: MapBatch, reading: Reading) -> Sequence[np.random.Generator] | None:
    """What decides among equal attributions: the samples' own streams, the same for all maps and metrics.

    Many maps have plateaus (class activation maps, attention), some are constant. Taken by position, a plateau would
    be judged by where in the image it lies first; LATEC does so.
    """
    return None if reading == "latec" else samples.generators("ties")


def places(scores: Tensor, ties: Sequence[np.random.Generator] | None, *, ascending: bool = False) -> Tensor:
    """Place (n, k) int32 of each number in the order of its row, 0 = first; the highest comes first by default."""
    order = torch.arange(scores.shape[1]).expand(scores.shape)
    if ties is not None:
        order = torch.from_numpy(np.stack([each.permutation(scores.shape[1]) for each in ties]))
    sort = scores.gather(1, order).argsort(dim=1, descending=not ascending, stable=True)
    count = torch.arange(scores.shape[1], dtype=torch.int32).expand(scores.shape)
    return torch.empty(scores.shape, dtype=torch.int32).scatter_(1, order.gather(1, sort), count)


def step_edges(count: int, step: int | None, reading: Reading) -> Tensor:
    """Where steps along `count` places begin and end, (steps + 1,) int32.

    step: places in a step; by default as few as make 50 steps or less. In LATEC's reading the last step is shorter
    if need be; else steps differ by one place at most.
    """
    step = -(-count // _MOST_STEPS) if step is None else min(step, count)
    steps = -(-count // step)
    numbers = torch.arange(steps + 1)
    edges = (numbers * step).clamp_max(count) if reading == "latec" else numbers * count // steps
    return edges.to(torch.int32)


def step_of(places: Tensor, edges: Tensor) -> Tensor:
    """Number of the step (n, k) int64 that each place belongs to; places beyond the last step count to it."""
    return (torch.searchsorted(edges, places, right=True) - 1).clamp_max(len(edges) - 2)


def step_means(scores: Tensor, steps: Tensor, count: int, reading: Reading) -> Tensor:
    """Mean attribution of each step, (n, count); the sum in LATEC's reading.

    Means of equal numbers are equal: what differs by rounding only is not ranked. Steps of unequal size compare.
    """
    sums = torch.zeros(len(scores), count, dtype=torch.float64).scatter_add(1, steps, scores)
    if reading == "latec":
        return sums
    sizes = torch.zeros(len(scores), count, dtype=torch.float64).scatter_add(1, steps, torch.ones_like(scores))
    return (sums / sizes).round(decimals=12)


def fill(
    samples: MapBatch, baseline: Baseline, reading: Reading, steps: Tensor, count: int, means: Tensor | None = None
) -> Tensor:
    """What stands in for each number of the inputs once removed, (n, c, *spatial).

    steps (n, c * p or p): when each number is removed, which matters to `uniform`: a number drawn for each of
    the `count` steps from the sample's own stream. means (n, count): what `mean` is at each step; by default always
    that of the whole sample, each channel by itself or, in LATEC's reading, all together.
    """
    inputs = samples.inputs
    by_step = colours(samples, "baseline", (count,), reading) if baseline == "uniform" else None
    if baseline == "mean" and means is not None:
        by_step = means
    if by_step is not None:
        chosen = by_step.gather(1, steps)
        return chosen.view(len(inputs), -1, *inputs.shape[2:]).expand_as(inputs).to(inputs.dtype)
    if baseline == "zero":
        return torch.zeros_like(inputs)
    flat = inputs.flatten(2)
    if baseline == "black":
        value = flat.amin(dim=(1, 2), keepdim=True).expand(-1, flat.shape[1], 1)
    else:
        value = flat.mean(dim=(1, 2) if reading == "latec" else 2, keepdim=True).expand(-1, flat.shape[1], 1)
    return value.expand_as(flat).view_as(inputs)


def running_means(values: Tensor, steps: Tensor, count: int) -> Tensor:
    """Mean (n, count) of what each step finds if those before it have put the mean that they found, as LATEC does.

    values, steps (n, k): numbers and the step that replaces each; from `count` on, none does.
    """
    values = values.to(torch.float64)
    nothing = torch.zeros(len(values), count + 1, dtype=torch.float64)
    steps = steps.long().clamp_max(count)
    sums, sizes = nothing.scatter_add(1, steps, values), nothing.scatter_add(1, steps, torch.ones_like(values))
    total, means = values.sum(dim=1), []
    for step in range(count):
        means.append(total / values.shape[1])
        total = total - sums[:, step] + sizes[:, step] * means[-1]
    return torch.stack(means, dim=1)


def colours(samples: MapBatch, purpose: str, shape: tuple[int, ...], reading: Reading) -> Tensor:
    """Numbers (n, *shape) float64 drawn between the sample's smallest and largest; from U(0, 1) in LATEC's reading."""
    drawn = torch.from_numpy(np.stack([each.random(shape) for each in samples.generators(purpose)]))
    if reading == "latec":
        return drawn
    flat = samples.inputs.flatten(1).to(torch.float64)
    low, high = (side.view(-1, *[1] * len(shape)) for side in (flat.amin(dim=1), flat.amax(dim=1)))
    return low + drawn * (high - low)


def in_first_plane(order: Tensor, shape: Sequence[int]) -> Tensor:
    """Order (n, c * p) of single numbers where only the first channel, or slice of a volume, has that of positions."""
    volume = len(shape) == 4
    plane = math.prod(shape[2:] if volume else shape[1:])
    never = torch.full((len(order), math.prod(shape)), torch.iinfo(torch.int32).max, dtype=torch.int32)
    never[:, :plane] = order[:, :plane]
    return never


def blend(start: Tensor, end: Tensor, places: Tensor, first: Tensor, beyond: Tensor) -> Perturb:
    """Step by step, `start` with the places from first[step] up to beyond[step] taken from `end`.

    start, end (n, c, *spatial); places (n, p) of positions, whose channels go together, or (n, c * p).
    """

    def perturb(rows: Tensor, steps: Tensor) -> Tensor:
        share = between(places.index_select(0, rows), first[steps], beyond[steps], start)
        return start.index_select(0, rows).lerp(end.index_select(0, rows), share)

    return perturb


def between(places: Tensor, first: Tensor, beyond: Tensor, like: Tensor) -> Tensor:
    """1 where first <= place < beyond, else 0, of the type of `like` (n, c, *spatial): (m, 1 or c, *spatial).

    places (m, p or c * p) and bounds (m,), int32. Numbers, not truth values, and from signs: comparisons and choices by
    masks take several times longer than sums. `lerp` by 0 and 1 gives exactly the one side or the other.
    """
    least = torch.minimum(places - first[:, None], beyond[:, None] - 1 - places)
    return least.bitwise_right_shift_(31).add_(1).to(like.dtype).view(len(places), -1, *like.shape[2:])


def area(curve: Tensor, steps: Tensor | None = None) -> Tensor:
    """Mean height (n,) of curves (n, states), by the trapezoid rule.

    steps (n,): of each curve, where those are of different length; what lies beyond is not looked at.
    """
    if steps is None:
        return ((curve[:, 1:] + curve[:, :-1]) / 2).mean(dim=1)
    return trapezoid(curve, steps + 1) / steps


def trapezoid(curve: Tensor, states: Tensor) -> Tensor:
    """Area (n,) under curves (n, most states) of steps of width 1, of which each has as many states (n,)."""
    between = (curve[:, 1:] + curve[:, :-1]) / 2
    inside = torch.arange(between.shape[1]) < states[:, None] - 1
    return between.where(inside, torch.zeros_like(between)).sum(dim=1)
