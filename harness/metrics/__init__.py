"""Metrics: pure functions on arrays, in float64 and on their natural scale.

Everywhere `confidence` is higher for more confident predictions and `residual` is the loss of each
prediction (0 correct, 1 failure, or any real number >= 0 where a metric admits it).
"""

from harness.metrics.balanced import balanced_augrc, balanced_aurc
from harness.metrics.bootstrap import (
    PairedBootstrap,
    bootstrap_weights,
    paired_bootstrap,
    replicate_table,
    weighted_replicates,
)
from harness.metrics.calibration import adaptive_ece, ece, mce
from harness.metrics.detection import failure_ap, failure_auroc, fpr_at_tpr
from harness.metrics.excess import achievable_aurc, excess_augrc, excess_aurc
from harness.metrics.proper_scores import brier, failure_nll, nll
from harness.metrics.registry import METRICS, MetricInfo
from harness.metrics.risk_coverage import (
    RiskCoverageCurve,
    augrc,
    aurc,
    coverage_at_risk,
    partial_augrc,
    risk_at_coverage,
    risk_coverage_curve,
)

__all__ = [
    "METRICS",
    "MetricInfo",
    "PairedBootstrap",
    "RiskCoverageCurve",
    "achievable_aurc",
    "adaptive_ece",
    "augrc",
    "aurc",
    "balanced_augrc",
    "balanced_aurc",
    "bootstrap_weights",
    "brier",
    "coverage_at_risk",
    "ece",
    "excess_augrc",
    "excess_aurc",
    "failure_ap",
    "failure_auroc",
    "failure_nll",
    "fpr_at_tpr",
    "mce",
    "nll",
    "paired_bootstrap",
    "partial_augrc",
    "replicate_table",
    "risk_at_coverage",
    "risk_coverage_curve",
    "weighted_replicates",
]
