"""How confidence scores compare: the primary metric of each group of studies, with paired replicates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.metrics.registry import METRICS
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.board import Cell
from harness.spec.run import Unit
from harness.tracks.base import Entry, Heading, Outputs, Track
from harness.tracks.columns import column_cells, column_ties
from harness.tracks.confidence.scoring import group_scores, study_scores

if TYPE_CHECKING:
    import numpy as np

MEAN = "mean"
_DIGITS = 12
"""Replicates are rounded, so that equal orders tie on every processor however its sums are rounded."""


class ConfidenceContest:
    """See `harness.tracks.base.Contest`. An entry holds, by column, the score followed by its replicates."""

    def __init__(self, protocol: LoadedBenchmark) -> None:
        benchmark = self._benchmark = protocol.of(ConfidenceBenchmark)
        metric = METRICS[benchmark.primary]
        self._lower_is_better = metric.lower_is_better
        self.heading = Heading(
            metric.id,
            metric.id.upper(),
            metric.lower_is_better,
            metric.display_scale,
            "Intervals are over test samples and training seeds (paired bootstrap).",
        )
        self.columns = (*dict.fromkeys(study.group for study in benchmark.compared), MEAN)

    def entry(self, track: Track, answered: Mapping[Unit, Outputs]) -> dict[str, np.ndarray]:
        """Primary metric of every group of studies for which all units are there, and their mean."""
        import numpy as np

        from harness.tracks.confidence.track import ConfidenceTrack

        assert isinstance(track, ConfidenceTrack)
        judged, _ = track.counted(answered)
        metric = METRICS[self._benchmark.primary]
        grouped = group_scores(self._benchmark, study_scores(self._benchmark, [metric], judged)[metric.id])
        values, replicates = dict(grouped.values), dict(grouped.replicates)
        if len(values) == len(self.columns) - 1:
            values[MEAN] = float(np.mean(list(values.values())))
            replicates[MEAN] = np.mean(list(replicates.values()), axis=0)
        return {name: np.round(np.concatenate([[values[name]], replicates[name]]), _DIGITS) for name in values}

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """None: every method is run on models that offer what it asks for."""
        return ()

    def cells(self, entries: Sequence[Entry]) -> dict[str, dict[str, Cell]]:
        return {column: column_cells(entries, column, lower_is_better=self._lower_is_better) for column in self.columns}

    def tied(self, entries: Sequence[Entry], name: str) -> dict[str, tuple[str, ...]]:
        """Those for which the 95 % interval of the paired difference contains 0."""
        own = next(each for each in entries if each.method.name == name)
        lower = self._lower_is_better
        return {column: column_ties(entries, name, column, lower_is_better=lower) for column in own.arrays}
