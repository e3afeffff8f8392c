"""How confidence scores compare: the primary metric of each group of studies, with paired replicates."""

from __future__ import annotations

from harness.metrics.registry import METRICS
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
