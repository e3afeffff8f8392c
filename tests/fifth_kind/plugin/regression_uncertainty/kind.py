"""The entry point."""

from harness.metrics.facts import MetricFacts
from harness.spec.kinds import Kind
from regression_uncertainty.declaration import RegressionBenchmark, UncertaintyMethod, uncertainty_score

FACTS = (
    MetricFacts("error_correlation", False, (-1, 1), (), "Spearman 1904, Proof and Measurement", "regression", 100.0),
)
KIND = Kind(
    task="regression-uncertainty",
    method=UncertaintyMethod,
    benchmark=RegressionBenchmark,
    decorator=uncertainty_score,
    verb="score(self, predictions)",
    track="regression_uncertainty.track:RegressionTrack",
    leaderboard="regression_uncertainty.track:RegressionLeaderboard",
    host="regression_uncertainty.track:RegressionHost",
    check="regression_uncertainty.track:check_uncertainty",
    metrics="regression_uncertainty.kind:FACTS",
    default_benchmark="regression-toy",
    simple_method="",
    caption="mean over seeds; 95 % interval over samples and seeds, in %",
    withheld="targets",
)
