"""The table of metrics: what other rooms need to know to compute, orient, show and cite one by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from harness.metrics.balanced import balanced_augrc, balanced_aurc
from harness.metrics.calibration import adaptive_ece, ece, mce
from harness.metrics.detection import failure_ap, failure_auroc, fpr_at_tpr
from harness.metrics.excess import achievable_aurc, excess_augrc, excess_aurc
from harness.metrics.proper_scores import NLL_EPSILON, brier, failure_nll, nll
from harness.metrics.risk_coverage import augrc, aurc, coverage_at_risk, partial_augrc, risk_at_coverage

Need = Literal["binary residual", "probability confidence", "labels"]


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `function(confidence, residual, **options)`; `labels` is an option if needed."""

    id: str
    function: Callable[..., float]
    lower_is_better: bool
    range: tuple[float, float]
    """Lowest and highest value for residuals in [0, 1]."""
    citation: str
    needs: frozenset[Need] = frozenset()
    display_scale: float = 1.0
    """Factor for tables; values in files stay unscaled."""
    version: str = "1"
    """Changes whenever the metric's code changes a value."""

    @property
    def required_options(self) -> tuple[str, ...]:
        """Options without a default, such as a target coverage; labels are not an option."""
        parameters = list(inspect.signature(self.function).parameters.values())[2:]
        return tuple(each.name for each in parameters if each.default is each.empty and each.name != "labels")


_TRAUB = "Traub et al. 2024, Overcoming Common Flaws in the Evaluation of Selective Classification Systems"
_GEIFMAN = "Geifman & El-Yaniv 2017, Selective Classification for Deep Neural Networks"
_BIAS_REDUCED = "Geifman et al. 2019, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers"
_JAEGER = "Jaeger et al. 2023, A Call to Reflect on Evaluation Practices for Failure Detection (FD-Shifts)"
_HENDRYCKS = "Hendrycks & Gimpel 2017, A Baseline for Detecting Misclassified and OOD Examples"
_LIANG = "Liang et al. 2018, Enhancing the Reliability of Out-of-Distribution Image Detection (ODIN)"
_GUO = "Guo et al. 2017, On Calibration of Modern Neural Networks"
_NIXON = "Nixon et al. 2019, Measuring Calibration in Deep Learning"
_BRIER = "Brier 1950, Verification of Forecasts Expressed in Terms of Probability"

_BINARY: frozenset[Need] = frozenset({"binary residual"})
_PROBABILITY: frozenset[Need] = frozenset({"binary residual", "probability confidence"})
_LABELS: frozenset[Need] = frozenset({"labels"})
_NLL_MAX = -math.log(NLL_EPSILON)

_TABLE = (
    MetricInfo("augrc", augrc, True, (0, 0.5), _TRAUB, display_scale=1000),
    MetricInfo("aurc", aurc, True, (0, 1), _GEIFMAN, display_scale=1000),
    MetricInfo("excess_augrc", excess_augrc, True, (0, 0.25), _TRAUB, display_scale=1000),
    MetricInfo("excess_aurc", excess_aurc, True, (-0.5, 1), _BIAS_REDUCED, display_scale=1000),
    MetricInfo("achievable_aurc", achievable_aurc, True, (0, 1), _TRAUB, display_scale=1000),
    MetricInfo("balanced_augrc", balanced_augrc, True, (0, 1), _TRAUB, _LABELS, 1000),
    MetricInfo("balanced_aurc", balanced_aurc, True, (0, 1), _JAEGER, _LABELS, 1000),
    MetricInfo("partial_augrc", partial_augrc, True, (0, 0.5), _TRAUB, display_scale=1000),
    MetricInfo("risk_at_coverage", risk_at_coverage, True, (0, 1), _JAEGER, display_scale=100),
    MetricInfo("coverage_at_risk", coverage_at_risk, False, (0, 1), _GEIFMAN, display_scale=100),
    MetricInfo("failure_auroc", failure_auroc, False, (0, 1), _HENDRYCKS, _BINARY, display_scale=100),
    MetricInfo("fpr_at_tpr", fpr_at_tpr, True, (0, 1), _LIANG, _BINARY, display_scale=100),
    MetricInfo("failure_ap", failure_ap, False, (0, 1), _HENDRYCKS, _BINARY, display_scale=100),
    MetricInfo("ece", ece, True, (0, 1), _GUO, _PROBABILITY, display_scale=100),
    MetricInfo("mce", mce, True, (0, 1), _GUO, _PROBABILITY, display_scale=100),
    MetricInfo("adaptive_ece", adaptive_ece, True, (0, 1), _NIXON, _PROBABILITY, display_scale=100),
    MetricInfo("brier", brier, True, (0, 1), _BRIER, _PROBABILITY),
    MetricInfo("nll", nll, True, (0, _NLL_MAX), _GUO, _PROBABILITY),
    MetricInfo("failure_nll", failure_nll, True, (-1e-7, _NLL_MAX), _JAEGER, _PROBABILITY),
)

METRICS: Mapping[str, MetricInfo] = MappingProxyType({info.id: info for info in _TABLE})
"""All metrics by id. Ranges of `brier` and `nll` are those of the event "correct"."""
