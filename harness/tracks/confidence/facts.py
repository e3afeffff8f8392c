"""What tables need to know of the metrics of confidence scores."""

from __future__ import annotations

from harness.metrics.facts import MetricFacts
from harness.metrics.registry import METRICS

FACTS = (
    *(
        MetricFacts(
            m.id,
            m.lower_is_better,
            m.range,
            tuple(sorted(m.needs)),
            m.citation,
            "confidence",
            m.display_scale,
            "fixed" if m.display_scale > 1 else "significant",
        )
        for m in METRICS.values()
    ),
    MetricFacts("failure_rate", None, (0, 1), (), "share of the samples that the model gets wrong", "frame", 100.0),
)
