"""What a metric is worth on one network's maps: pure functions of scores, paired over resamples of the samples.

Scores are (methods, n), higher = better in every function; only their order counts, see `ordered`. A result is (1 + replicates,): what the samples themselves
give, then each resample. Weights are (n, 1 + replicates): how often each sample is drawn, column 0 once each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.statistics.agreement import kendall_taus, kendall_ws
from harness.statistics.criteria import mean_ranks
from harness.statistics.order_statistics import Weights, medians
from harness.statistics.ranks import tied_ranks
from harness.statistics.resampling import shared_weights
from harness.statistics.significance import nemenyi_difference

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Draws = NDArray[np.float64]

OWN = "_own"
_CELL = "network"


@dataclass(frozen=True)
class ReferenceScores:
    """Scores (methods, n) of one metric in its own direction, which belongs to a criterion."""

    metric: str
    criterion: str
    higher_is_better: bool
    scores: Floats


def ordered(scores: Floats) -> Floats:
    """Scores of any shape as their ranks among all that are defined; NaN stays NaN.

    A metric's scale then counts nowhere, neither in medians over an even number of samples nor in clipping.
    """
    return tied_ranks(np.where(np.isfinite(scores), scores, np.nan).ravel()).reshape(scores.shape)


def agreement(
    scores: Floats, references: Sequence[ReferenceScores], replicates: int, seed: int
) -> dict[str, tuple[Draws, Floats, Floats]]:
    r"""Kendall's tau-b between the order of methods by this metric and the consensus of each criterion.

    $$
    \tau_b = \frac{\sum_{i<j} \mathrm{sgn}(u_i - u_j) \, \mathrm{sgn}(v_i - v_j)}
    {\sqrt{\sum_{i<j} [u_i \ne u_j] \; \sum_{i<j} [v_i \ne v_j]}}
    $$

    $u$: ranks of the methods by this metric, $v$: the consensus.

    criterion -> (draws in [-1, 1], ranks by this metric (methods,), consensus (methods,)). The consensus is the mean
    rank over the criterion's metrics, as boards of XAI methods have it (`harness.statistics.mean_ranks`; Klein et al.
    2024); both are ranked anew in each resample. Samples for which a metric is undefined for some method are left out
    of that metric. A metric that ties all methods orders nobody, and agrees with nobody: 0. A criterion none of whose metrics is defined is left out.
    """
    table = _table(scores, references)
    if table is None:
        return {}
    found = {each.criterion: each.means for each in mean_ranks(table, cell=_CELL, replicates=replicates, seed=seed)}
    own = found.pop(OWN)
    result = {}
    for criterion, consensus in found.items():
        common = sorted(name for name in own.columns if name in consensus.columns)
        ours, theirs = (each[common].to_numpy(dtype=np.float64) for each in (own, consensus))
        result[criterion] = (np.nan_to_num(kendall_taus(ours, theirs)), ours[0], theirs[0])
    return result


def power(scores: Floats, weights: Weights, alpha: float) -> Draws:
    r"""Share of pairs of methods that the metric tells apart, in [0, 1].

    $$
    \frac{2}{m (m - 1)} \sum_{i<j} \left[ |R_i - R_j| \ge q_{\alpha}
    \sqrt{\frac{m (m + 1)}{12 \, n}} \right]
    $$

    $m$ methods, $n$ samples; $R_i$: mean rank; $q_\alpha$: upper quantile of the studentised range of $m$ normal
    values.

    Samples are the blocks of Friedman's test, pairs are told apart by Nemenyi's (familywise level alpha; Demšar
    2006). The share is the discriminative power of Sakai 2006, "Evaluating Evaluation Metrics Based on the Bootstrap".
    NaN for less than three methods or two samples.
    """
    ranks = tied_ranks(-scores.T)  # (n, methods)
    blocks, methods = ranks.shape
    if methods < 3 or blocks < 2:
        return np.full(weights.shape[1], np.nan)
    means = weights.T.astype(np.float64) @ ranks / blocks  # (draws, methods)
    first, second = np.triu_indices(methods, 1)
    apart = np.abs(means[:, first] - means[:, second]) >= nemenyi_difference(methods, blocks, alpha)
    return np.asarray(apart.mean(axis=1))


def superiority(better: Floats, worse: Floats, weights: Weights) -> Draws:
    r"""How much more often the first scores are the higher ones, sample by sample, in [-1, 1]: 2 AUC - 1.

    $$ \frac{1}{m m' n} \sum_{i=1}^{m} \sum_{j=1}^{m'} \sum_{s=1}^{n} \mathrm{sgn} (b_{is} - w_{js}) $$

    $b_{is}$: score of method $i$ on sample $s$; $w_{js}$: of map $j$ that knows nothing.

    better (methods, n), worse (others, n): every method meets every other. With `paired` rows use `paired_effect`.
    """
    signs = np.sign(better[:, None] - worse[None]).mean(axis=(0, 1))
    return _mean(signs, weights)


def paired_effect(scores: Floats, randomised: Floats, weights: Weights) -> Draws:
    r"""How much more often a method's own maps get the higher scores than its maps of a randomised network, in [-1, 1].

    $$ \frac{1}{m n} \sum_{i=1}^{m} \sum_{s=1}^{n} \mathrm{sgn} (b_{is} - w_{is}) $$

    $b_{is}$: score of method $i$ on sample $s$; $w_{is}$: of its map of the randomised network. As
    `superiority`, but each method meets itself alone: both (methods, n).
    """
    return _mean(np.sign(scores - randomised).mean(axis=0), weights)


def share_above(scores: Floats, sanity: Floats, weights: Weights) -> Draws:
    r"""Share of methods whose median score is above those of all sanity rows, in [0, 1].

    $$ \frac{1}{m} \sum_{i=1}^{m} \left[ \mathrm{med}_s \, b_{is} > \max_j \, \mathrm{med}_s \, w_{js} \right] $$

    $b_{is}$: score of method $i$ on sample $s$; $w_{js}$: of map $j$ that knows nothing.
    """
    middle, bound = _medians(scores, weights), _medians(sanity, weights).max(axis=0)
    return np.asarray((middle > bound).mean(axis=0))


def concordance_of_halves(scores: Floats, halvings: int, seed: int) -> Draws:
    r"""Kendall's W between the orders that two halves of the samples give, in [0, 1]; 1/2 by chance.

    $$
    W = \frac{\sum_i \left( \sum_j R_{ji} - k \frac{m + 1}{2} \right)^2}
    {k \sum_j \sum_i \left( R_{ji} - \frac{m + 1}{2} \right)^2}, \quad k = 2
    $$

    $R_{ji}$: rank of method $i$ of $m$ by half $j$.

    First the mean over random halvings, then that of each: their spread is over halvings, not a confidence interval. 0
    where all methods are tied. NaN for less than four samples or three methods.
    """
    n = scores.shape[1]
    if n < 4:
        return np.full(1 + halvings, np.nan)
    rng, half = np.random.default_rng([seed, n]), n // 2
    orders = np.stack([rng.permutation(n) for _ in range(halvings)])[:, : 2 * half]
    middle = np.median(scores[:, orders.reshape(halvings, 2, half)], axis=-1)  # (methods, halvings, 2)
    each = _concordance(tied_ranks(-middle.transpose(1, 2, 0)))
    return np.concatenate([[each.mean()], each])


def concordance_of_networks(scores: Sequence[Floats], replicates: int, seed: int) -> Draws:
    r"""Kendall's W between the orders that the metric gives on networks that differ in the seed of their training.

    $$
    W = \frac{\sum_i \left( \sum_j R_{ji} - k \frac{m + 1}{2} \right)^2}
    {k \sum_j \sum_i \left( R_{ji} - \frac{m + 1}{2} \right)^2}
    $$

    $R_{ji}$: rank of method $i$ of $m$ by network $j$ of $k$.

    In [0, 1]; one over the number of networks by chance, 0 where all methods are tied. Networks with as many samples
    share their resamples. NaN for less than three methods.
    """
    ranks = [tied_ranks(-_medians(each, shared_weights(each.shape[1], replicates, seed)).T) for each in scores]
    return _concordance(np.stack(ranks, axis=1))


def complete(*tables: Floats) -> NDArray[np.bool_]:
    """(n,): samples for which every row of every table is defined."""
    return np.asarray(np.isfinite(np.concatenate([each for each in tables if each.size])).all(axis=0))


def _concordance(ranks: Floats) -> Draws:
    """W of ranks (draws, raters, methods); 0 where every rater ties all methods: they give no order to agree on."""
    found = kendall_ws(ranks)
    return np.nan_to_num(found) if ranks.shape[-1] >= 3 else found


def _medians(scores: Floats, weights: Weights) -> Floats:
    """Median over the samples of every resample, (methods, draws)."""
    lower, upper = medians(scores, weights)
    return np.asarray((lower + upper) / 2)


def _mean(values: Floats, weights: Weights) -> Draws:
    return np.asarray(values @ weights.astype(np.float64) / len(values))


def _table(scores: Floats, references: Sequence[ReferenceScores]) -> pd.DataFrame | None:
    """All metrics as one long table, this one as a criterion of its own; None if there is nothing to compare."""
    import pandas as pd

    rows = [_rows(OWN, OWN, True, scores)]
    rows += [_rows(each.metric, each.criterion, each.higher_is_better, each.scores) for each in references]
    kept = [each for each in rows if len(each)]
    return pd.concat(kept, ignore_index=True) if len(rows[0]) and len(kept) > 1 else None


def _rows(metric: str, criterion: str, higher_is_better: bool, scores: Floats) -> pd.DataFrame:
    import pandas as pd

    samples = np.flatnonzero(complete(scores))
    methods = len(scores)
    columns: Mapping[str, object] = {
        "method": np.repeat(np.arange(methods), len(samples)),
        _CELL: 0,
        "metric": metric,
        "criterion": criterion,
        "direction": "higher" if higher_is_better else "lower",
        "observation": [f"{sample:08d}" for sample in samples] * methods,  # text that sorts as the samples do
        "value": scores[:, samples].ravel(),
        "status": "ok",
    }
    return pd.DataFrame(columns)
