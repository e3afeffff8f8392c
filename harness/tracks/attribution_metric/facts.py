"""What tables need to know of the judgements of metrics."""

from __future__ import annotations

from typing import get_args

from harness.metrics.facts import MetricFacts
from harness.spec.method import Criterion

_KLEIN = "Klein et al. 2024, Navigating the Maze of Explainable AI (LATEC)"
FACTS = (
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
