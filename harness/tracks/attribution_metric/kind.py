"""Metrics of attribution maps: the kind, for the registry."""

from harness.methods.interface import attribution_metric
from harness.spec.attribution_metric import AttributionMetricBenchmark
from harness.spec.kinds import Kind
from harness.spec.method import AttributionMetricMethod

KIND = Kind(
    task="attribution-metric",
    method=AttributionMetricMethod,
    benchmark=AttributionMetricBenchmark,
    decorator=attribution_metric,
    verb="score(self, model, inputs, targets, maps, context)",
    track="harness.tracks.attribution_metric.track:AttributionMetricTrack",
    leaderboard="harness.tracks.attribution_metric.leaderboard:AttributionMetricLeaderboard",
    host="harness.tracks.attribution_metric.host:AttributionMetricHost",
    check="harness.methods.metric_conformance:check_attribution_metric",
    metrics="harness.tracks.attribution_metric.facts:FACTS",
    default_benchmark="meta-mnist",
    simple_method="deletion",
    caption="mean over networks; 95 % interval over samples, for halves over halvings\nin %; tau and W × 100",
    withheld="who made a map, and masks of where the truth lies,",
    unchecked="asked about 6 maps at a time, to be quick; evaluate asks about more at once, and about some again",
    unit_seconds=1.0,
)
