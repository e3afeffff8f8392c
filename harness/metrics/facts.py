"""What tables and pages need to know of any metric, whatever its track."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.metrics.attribution.registry import METRICS as ATTRIBUTION_METRICS
from harness.metrics.registry import METRICS as CONFIDENCE_METRICS


@dataclass(frozen=True)
class MetricFacts:
    """scale: factor for display; values in files stay unscaled. digits: "fixed" shows one decimal, "significant" three digits."""

    id: str
    lower_is_better: bool | None
    """None for a frame in which scores are read, such as the failure rate."""
    range: tuple[float, float]
    needs: tuple[str, ...]
    citation: str
    criterion: str
    scale: float = 1.0
    digits: Literal["fixed", "significant"] = "fixed"

    @property
    def heading(self) -> str:
        """Its name with an arrow in the direction of better scores."""
        arrow = {None: "", True: " ↓", False: " ↑"}[self.lower_is_better]
        return self.id.replace("_", " ") + arrow

    def text(self, value: float | None) -> str:
        """A value as tables show it; a dash where it is missing."""
        if value is None:
            return "–"
        return f"{value * self.scale:.1f}" if self.digits == "fixed" else f"{value * self.scale:.3g}"


_QUERY = (
    MetricFacts(
        "aubc",
        False,
        (0, 1),
        (),
        "Zhan et al. 2021, A Comparative Survey: Benchmarking for Pool-based Active Learning",
        "performance",
        100.0,
    ),
    MetricFacts("final_performance", False, (0, 1), (), "performance after the last loop", "performance", 100.0),
    MetricFacts(
        "foreground_efficiency",
        False,
        (-math.inf, math.inf),
        ("full performance", "segmentation"),
        "nnActive 2025, A Framework for Evaluation of Active Learning in 3D Biomedical Segmentation",
        "effort",
        digits="significant",
    ),
)

_FRAMES = (
    MetricFacts(
        "start_performance", None, (0, 1), (), "performance on the start that all methods share", "frame", 100.0
    ),
    MetricFacts("annotated_foreground", None, (0, 1), (), "share of the pool's foreground annotated", "frame", 100.0),
    MetricFacts("annotated_images", None, (0, math.inf), (), "images annotated at the end", "frame"),
    MetricFacts("failure_rate", None, (0, 1), (), "share of the samples that the model gets wrong", "frame", 100.0),
    MetricFacts("uniform_maps", None, (0, 1), (), "share of maps without any structure", "frame", 100.0),
)


@cache
def metric_facts() -> Mapping[str, MetricFacts]:
    """Every metric of every track by its id."""
    confidence = [
        MetricFacts(m.id, m.lower_is_better, m.range, tuple(sorted(m.needs)), m.citation, "confidence", m.display_scale)
        for m in CONFIDENCE_METRICS.values()
    ]
    attribution = [
        MetricFacts(
            metric.id,
            metric.direction == "lower",
            metric.range,
            tuple(sorted(metric.needs)),
            metric.citation,
            metric.criterion,
            digits="significant",
        )
        for metric in ATTRIBUTION_METRICS.values()
    ]
    return {each.id: each for each in (*confidence, *_QUERY, *_FRAMES, *attribution)}
