"""How confidence scores compare: the primary metric of each group of studies, with paired replicates."""

from __future__ import annotations

from collections.abc import Collection

from harness.metrics.registry import METRICS
from harness.spec.grids import GridModel
from harness.spec.run import Unit
from harness.tracks.leaderboard import BoardMetric, Leaderboard


class ConfidenceLeaderboard(Leaderboard):
    """See `harness.tracks.leaderboard.Leaderboard`."""

    def metric(self) -> BoardMetric:
        metric = METRICS[self.benchmark.primary]
        return BoardMetric(
            metric.id,
            metric.id.upper(),
            metric.lower_is_better,
            metric.display_scale,
            "Intervals are over test samples and training seeds (paired bootstrap).",
        )

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """Those of networks of which a method may learn less than of others: nothing else is its own choice to leave out."""
        grids = [model for model in self.benchmark.source.models if isinstance(model, GridModel)]
        parts = {model.id: len(self.benchmark.reference_of(model).sets) for model in grids}
        return [unit for unit in inapplicable if parts.get(unit.model, 0) < max(parts.values(), default=0)]
