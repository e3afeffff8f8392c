"""What tables need to know of the metrics of XAI methods."""

from __future__ import annotations

from harness.metrics.attribution.registry import METRICS
from harness.metrics.facts import MetricFacts

FACTS = (
    *(
        MetricFacts(
            metric.id,
            metric.direction == "lower",
            metric.range,
            tuple(sorted(metric.needs)),
            metric.citation,
            metric.criterion,
            digits="significant",
        )
        for metric in METRICS.values()
    ),
    MetricFacts("uniform_maps", None, (0, 1), (), "share of maps without any structure", "frame", 100.0),
)
