"""Metrics of attribution maps: the kind, for the registry."""

from harness.methods.interface import attribution_metric
from harness.spec.kinds import Kind
from harness.spec.meta import MetaBenchmark
from harness.spec.method import MetricMethod

KIND = Kind(
    task="attribution-metric",
    method=MetricMethod,
    benchmark=MetaBenchmark,
    decorator=attribution_metric,
    verb="score(self, model, inputs, targets, maps, context)",
    track="harness.tracks.meta.track:MetaTrack",
    leaderboard="harness.tracks.meta.leaderboard:MetaLeaderboard",
    host="harness.tracks.meta.host:MetaHost",
    check="harness.methods.metric_conformance:check_attribution_metric",
    metrics="harness.tracks.meta.facts:FACTS",
    default_benchmark="meta-mnist",
    simple_method="deletion",
    caption="mean over networks; 95 % interval over samples, for halves over halvings\nin %; tau and W × 100",
    withheld="who made a map, and masks of where the truth lies,",
    unit_seconds=1.0,
)
