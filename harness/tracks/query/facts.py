"""What tables need to know of the metrics of query strategies."""

from __future__ import annotations

import math

from harness.metrics.facts import MetricFacts

FACTS = (
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
    MetricFacts(
        "start_performance", None, (0, 1), (), "performance on the start that all methods share", "frame", 100.0
    ),
    MetricFacts("annotated_foreground", None, (0, 1), (), "share of the pool's foreground annotated", "frame", 100.0),
    MetricFacts("annotated_images", None, (0, math.inf), (), "images annotated at the end", "frame", digits="whole"),
)
