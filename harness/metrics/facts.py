"""What tables and pages need to know of any metric, whatever its track."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from harness.metrics.attribution.registry import METRICS as ATTRIBUTION_METRICS
from harness.metrics.registry import METRICS as CONFIDENCE_METRICS
from harness.spec.method import Criterion


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

_KLEIN = "Klein et al. 2024, Navigating the Maze of Explainable AI (LATEC)"
_META = (
    *(
        MetricFacts(
            f"tau_{criterion}", False, (-1, 1), (f"{criterion} scores of other metrics",), _KLEIN, "meta", 100.0
        )
        for criterion in get_args(Criterion)
    ),
    MetricFacts(
        "power", False, (0, 1), (), "Sakai 2006, Evaluating Evaluation Metrics Based on the Bootstrap", "meta", 100.0
    ),
    MetricFacts(
        "sanity",
        False,
        (-1, 1),
        ("maps that know nothing",),
        "2 AUC - 1 of real maps against them; after Adebayo et al. 2018, Sanity Checks for Saliency Maps",
        "meta",
        100.0,
    ),
    MetricFacts(
        "sanity_share", False, (0, 1), ("maps that know nothing",), "share of methods above all of them", "meta", 100.0
    ),
    MetricFacts(
        "randomisation_effect",
        False,
        (-1, 1),
        ("maps of a randomised network",),
        "Adebayo et al. 2018, Sanity Checks for Saliency Maps",
        "meta",
        100.0,
    ),
    MetricFacts(
        "half_concordance",
        False,
        (0, 1),
        (),
        "Kendall & Babington Smith 1939, The Problem of m Rankings",
        "meta",
        100.0,
    ),
    MetricFacts(
        "seed_concordance",
        False,
        (0, 1),
        ("networks of other seeds",),
        "Kendall & Babington Smith 1939, The Problem of m Rankings",
        "meta",
        100.0,
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
    return {each.id: each for each in (*confidence, *_QUERY, *_FRAMES, *attribution, *_META)}
