"""Confidence scoring functions: the kind, for the registry."""

from harness.methods.interface import confidence_score
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.kinds import Kind
from harness.spec.method import ConfidenceMethod

KIND = Kind(
    task="confidence",
    method=ConfidenceMethod,
    benchmark=ConfidenceBenchmark,
    decorator=confidence_score,
    verb="score(self, outputs)",
    track="harness.tracks.confidence.track:ConfidenceTrack",
    leaderboard="harness.tracks.confidence.leaderboard:ConfidenceLeaderboard",
    host="harness.tracks.confidence.host:ConfidenceHost",
    check="harness.methods.conformance:check_confidence_score",
    metrics="harness.tracks.confidence.facts:FACTS",
    default_benchmark="confidence-mnist",
    simple_method="msr",
    caption="mean over networks; 95 % interval over test samples and networks\nareas × 1000; Brier score and NLL as they are; the rest in %",
    withheld="labels of test data",
    unit_seconds=0.1,
)
