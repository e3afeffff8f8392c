"""How sure a number is: the bootstrap, its interval, ranks with their uncertainty, agreement. Knows no metric and no track.

`bootstrap_weights` draws the resamples that all methods share, `percentile_interval` is the 95 % interval.

`criterion_ranks` and `metric_ranks` read scores; `kendall_w`, `metric_tau`, `consensus`, `random_agreement` and
`pairwise_tests` read the table of `metric_ranks`; `stability` repeats the ranking without a part of the scores.
`setting_ranks` ranks query methods by setting; `average_ranks` and `leave_one_seed_out` go on from there.
`share_of_wins` says in what share of the settings one method beats another; `heterogeneity` tests whether it does so
equally in all, `holm` corrects for many tests.
"""

from harness.statistics.agreement import kendall_taus, kendall_w, kendall_ws, metric_tau
from harness.statistics.budgets import average_ranks, leave_one_seed_out, seed_stability, setting_ranks
from harness.statistics.consensus import consensus
from harness.statistics.criteria import (
    MeanRanks,
    comparable,
    criterion_ranks,
    mean_ranks,
    metric_ranks,
    order_by_mean_rank,
)
from harness.statistics.interval import DIGITS, contains_zero, percentile_interval
from harness.statistics.ranks import rank_with_uncertainty, tied_ranks
from harness.statistics.resampling import (
    bootstrap_weights,
    mean_over_drawn,
    shared_weights,
    weight_rows,
    weights_by_sample,
)
from harness.statistics.settings import Share, heterogeneity, holm, share_of, share_of_wins
from harness.statistics.significance import nemenyi_difference, pairwise_tests, random_agreement
from harness.statistics.stability import stability

__all__ = [
    "DIGITS",
    "bootstrap_weights",
    "contains_zero",
    "mean_over_drawn",
    "percentile_interval",
    "shared_weights",
    "tied_ranks",
    "weight_rows",
    "weights_by_sample",
    "MeanRanks",
    "Share",
    "average_ranks",
    "comparable",
    "consensus",
    "criterion_ranks",
    "heterogeneity",
    "holm",
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
    "share_of",
    "share_of_wins",
    "stability",
]
