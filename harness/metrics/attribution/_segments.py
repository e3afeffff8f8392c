"""Parts of an input that are removed as a whole: superpixels, clusters of points, patches; and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.metrics.attribution._ordering import places

if TYPE_CHECKING:
    from harness.metrics.attribution.map_batch import MapBatch, Reading


def superpixels(samples: MapBatch, segments: int, clusters: int, reading: Reading) -> Tensor:
    """Segment (n, p) int16 of each position, numbered from 0 in each sample.

    Images and volumes: about `segments` superpixels or supervoxels by SLIC (Achanta et al. 2012). Point clouds: at
    most `clusters` clusters by k-means, from the sample's own stream. LATEC's reading takes the slices of a volume
    for channels, so that each segment goes through all of them.
    """
    if samples.inputs.ndim == 3:
        streams = samples.generators("clusters")
        found = [_clusters(row, clusters, rng) for row, rng in zip(samples.inputs, streams, strict=True)]
    else:
        found = [_slic(row, segments, reading) for row in samples.inputs]
    return torch.from_numpy(np.stack([np.unique(each, return_inverse=True)[1].reshape(-1) for each in found])).short()


def patches(spatial: Sequence[int], width: int) -> Tensor:
    """Patch (p,) int16 of each position: cubes of this width, smaller at the far borders."""
    number = torch.zeros((), dtype=torch.int64)
    for size in spatial:
        number = number[..., None] * -(-size // width) + torch.arange(size) // width
    return number.flatten().short()


def windows(scores: Tensor, width: int, most: int) -> tuple[Tensor, int]:
    """Steps (c, *spatial) int32 at which LATEC removes the numbers of an input, window by window.

    scores (c, *spatial): attribution of each number, float64. A window begins at each number and has this width along
    every axis, channels included; beyond the input there is no attribution. They are taken by their sum, the highest
    first and equal ones in the order of memory, unless they overlap one that was taken. What is never removed has the
    step `most`. Also returns how many windows were taken, `most` or fewer.
    """
    steps = torch.full(scores.shape, most, dtype=torch.int32)
    sums = F.pad(scores, (0, width - 1) * scores.ndim)
    for axis in range(scores.ndim):
        sums = sums.unfold(axis, width, 1).sum(dim=-1)  # not by differences: sums of zeros must be equal
    free = sums.numpy()
    for step in range(most):
        start = np.unravel_index(free.argmax(), free.shape)
        if free[start] == -np.inf:
            return steps, step
        steps[tuple(slice(first, first + width) for first in start)] = step
        free[tuple(slice(max(0, first - width + 1), first + width) for first in start)] = -np.inf
    return steps, most


def segment_places(
    scores: Tensor, segments: Tensor, ties: Sequence[np.random.Generator] | None
) -> tuple[Tensor, Tensor]:
    """Place (n, p) int32 of each position's segment among the sample's segments, and the number (n,) of those.

    scores (n, p). The segment with the highest mean comes first.
    """
    found, counts = [], []
    for row, (values, segment) in enumerate(zip(scores, segments.long(), strict=True)):
        worth = torch.bincount(segment, weights=values) / torch.bincount(segment)
        worth = worth.round(decimals=12)  # means of equal numbers are equal
        found.append(places(worth[None], None if ties is None else [ties[row]])[0][segment])
        counts.append(len(worth))
    return torch.stack(found), torch.tensor(counts)


def _slic(one: Tensor, segments: int, reading: Reading) -> np.ndarray:
    from skimage.segmentation import slic

    values = one.detach().cpu().to(torch.float64).numpy()
    if reading == "latec" and values.ndim == 4:
        values = values.reshape(-1, *values.shape[2:])
    found: np.ndarray = slic(np.moveaxis(values, 0, -1), n_segments=segments, channel_axis=-1, start_label=0)
    return np.broadcast_to(found, one.shape[1:])


def _clusters(one: Tensor, clusters: int, rng: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import KMeans

    points = one.detach().cpu().to(torch.float64).numpy().T
    count = min(clusters, len(np.unique(points, axis=0)))
    found: np.ndarray = KMeans(count, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(points)
    return found
