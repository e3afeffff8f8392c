"""Query strategies of active learning: the kind, for the registry."""

from harness.methods.interface import query_strategy
from harness.spec.kinds import Kind
from harness.spec.method import QueryMethod
from harness.spec.query import QueryBenchmark

KIND = Kind(
    task="query",
    method=QueryMethod,
    benchmark=QueryBenchmark,
    decorator=query_strategy,
    verb="query(self, pool, budget, rng)",
    track="harness.tracks.query.track:QueryTrack",
    leaderboard="harness.tracks.query.leaderboard:QueryLeaderboard",
    host="harness.tracks.query.host:QueryHost",
    check="harness.tracks.query.conformance:check_query_strategy",
    metrics="harness.tracks.query.facts:FACTS",
    default_benchmark="query-mnist",
    simple_method="random-sampling",
    caption="mean over seeds; 95 % interval over held-out data and seeds\nin %; AUBC: mean height of the budget curve",
    withheld="labels of data that are not annotated",
    unchecked="asked about pools of few volumes or images, to be quick; those of evaluate are larger",
    unit_seconds=8.0,
)
