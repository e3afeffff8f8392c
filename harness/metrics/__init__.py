"""Metrics: pure functions on arrays, in float64 and on their natural scale.

Everywhere `confidence` is higher for more confident predictions and `residual` is the loss of each
prediction (0 correct, 1 failure, or any real number >= 0 where a metric admits it). Learning curves hold one performance
per annotation budget, higher is better.
"""

from harness.metrics.balanced import balanced_augrc, balanced_aurc
from harness.metrics.bootstrap import (
    PairedBootstrap,
    paired_bootstrap,
    replicate_table,
    weighted_replicates,
)
from harness.metrics.budget_curve import (
    aubc,
    final_performance,
    foreground_efficiency,
    foreground_efficiency_interval,
    mean_penalty,
    pairwise_penalty,
    share_lost,
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
from harness.metrics.segmentation import (
    accuracy,
    balanced_accuracy,
    class_dice,
    dice,
    mean_dice,
    segmentation_counts,
    segmentation_summary,
)
from harness.statistics import bootstrap_weights

__all__ = [
    "METRICS",
    "MetricInfo",
    "PairedBootstrap",
    "RiskCoverageCurve",
    "accuracy",
    "achievable_aurc",
    "adaptive_ece",
    "aubc",
    "augrc",
    "aurc",
    "balanced_accuracy",
    "balanced_augrc",
    "balanced_aurc",
    "bootstrap_weights",
    "brier",
    "class_dice",
    "coverage_at_risk",
    "dice",
    "ece",
    "excess_augrc",
    "excess_aurc",
    "failure_ap",
    "failure_auroc",
    "failure_nll",
    "final_performance",
    "foreground_efficiency",
    "foreground_efficiency_interval",
    "fpr_at_tpr",
    "mce",
    "mean_dice",
    "mean_penalty",
    "nll",
    "paired_bootstrap",
    "pairwise_penalty",
    "partial_augrc",
    "replicate_table",
    "risk_at_coverage",
    "risk_coverage_curve",
    "segmentation_counts",
    "segmentation_summary",
    "share_lost",
    "weighted_replicates",
]
