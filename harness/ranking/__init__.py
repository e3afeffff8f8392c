"""Long tables of scores in, tables of ranks with their uncertainty out. Knows no track.

`criterion_ranks` and `metric_ranks` read scores; `kendall_w`, `metric_tau`, `consensus`, `random_agreement` and
`pairwise_tests` read the table of `metric_ranks`; `stability` repeats the ranking without a part of the scores.
`setting_ranks` ranks query methods by setting; `average_ranks` and `leave_one_seed_out` go on from there.
"""

from harness.ranking.agreement import kendall_taus, kendall_w, kendall_ws, metric_tau
from harness.ranking.budgets import average_ranks, leave_one_seed_out, seed_stability, setting_ranks
from harness.ranking.consensus import consensus
from harness.ranking.criteria import (
    MeanRanks,
    comparable,
    criterion_ranks,
    mean_ranks,
    metric_ranks,
    order_by_mean_rank,
)
from harness.ranking.significance import nemenyi_difference, pairwise_tests, random_agreement
from harness.ranking.stability import stability
from harness.ranking.uncertainty import rank_with_uncertainty

__all__ = [
    "MeanRanks",
    "average_ranks",
    "comparable",
    "consensus",
    "criterion_ranks",
    "kendall_taus",
    "kendall_w",
    "kendall_ws",
    "leave_one_seed_out",
    "mean_ranks",
    "metric_ranks",
    "metric_tau",
    "nemenyi_difference",
    "order_by_mean_rank",
    "pairwise_tests",
    "random_agreement",
    "rank_with_uncertainty",
    "seed_stability",
    "setting_ranks",
    "stability",
]
