"""XAI methods: the kind, for the registry."""

from harness.methods.interface import explainer
from harness.spec.attribution import AttributionBenchmark
from harness.spec.kinds import Kind
from harness.spec.method import AttributionMethod

KIND = Kind(
    task="attribution",
    method=AttributionMethod,
    benchmark=AttributionBenchmark,
    decorator=explainer,
    verb="explain(self, model, inputs, targets, context)",
    track="harness.tracks.attribution.track:AttributionTrack",
    leaderboard="harness.tracks.attribution.leaderboard:AttributionLeaderboard",
    host="harness.tracks.attribution.host:AttributionHost",
    check="harness.methods.explainer_conformance:check_explainer",
    metrics="harness.tracks.attribution.facts:FACTS",
    default_benchmark="attribution-mnist",
    simple_method="input-x-gradient",
    caption="median over samples, mean over models; 95 % interval over samples",
    withheld="masks of where the truth lies",
    unchecked="asked about 6 inputs at a time, to be quick; evaluate asks about more at once, and about some again",
    unit_seconds=4.0,
)
