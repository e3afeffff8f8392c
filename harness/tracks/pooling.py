"""One metric over several units: means of their draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.spec.run import Unit
from harness.statistics import mean_over_drawn

if TYPE_CHECKING:
    from harness.tracks.base import Measurement

Draws = NDArray[np.float64]
"""(1 + replicates,): a value, then its replicates; see `harness.tracks.base.Score`."""


def mean_over_seeds(metric: str, members: Mapping[Unit, Measurement], seed: int) -> Draws | None:
    """Mean over the units of each study, of which each replicate draws as many with replacement; then over studies.

    Units are taken in the order of their seeds, so that all methods, whatever their models, share the draws.
    """
    studies: dict[str, list[Draws]] = {}
    for unit in sorted(members, key=lambda unit: (unit.model_seed, unit.model)):
        if metric in members[unit].scores:
            studies.setdefault(unit.study, []).append(members[unit].scores[metric].draws)
    means = []
    for of_units in studies.values():
        stacked = np.stack(of_units)
        value = stacked[:, :1].mean(axis=0)
        resampled = mean_over_drawn(stacked[:, 1:], seed) if stacked.shape[1] > 1 else value[:0]
        means.append(np.concatenate([value, resampled]))
    return np.mean(means, axis=0) if means else None


def mean_over_units(metric: str, members: Iterable[Measurement]) -> Draws | None:
    """Mean over units whose samples are the same and drawn together: no unit is drawn."""
    found = [each.scores[metric].draws for each in members if metric in each.scores]
    return np.mean(found, axis=0) if found else None
