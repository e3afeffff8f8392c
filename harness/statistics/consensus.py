"""One order from many metrics, by three rules side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.statistics.agreement import rank_matrix

if TYPE_CHECKING:
    import pandas as pd

_EXACT_TO = 17  # methods; the search takes memory and time in proportion to 2 ** methods


def consensus(ranks: pd.DataFrame) -> pd.DataFrame:
    """Place of each method in each criterion by mean rank, by Borda count and in the Kemeny order.

    `ranks`: columns method, criterion, metric, rank (lower is better), as from `metric_ranks`. Result, by
    criterion, then mean rank, then name:

    - mean_rank, place_by_mean: lower is better, ties share the lowest place;
    - borda, place_by_borda: methods beaten, summed over metrics, a tie counting half; higher is better. It
      gives the order of the mean rank whenever ranks are average ranks among the listed methods, so the two
      differ only for newcomers to a reference;
    - place_by_kemeny: place in an order with the fewest disagreements (metric, pair of methods that the
      metric orders strictly the other way); of several such orders, one that is close to the mean ranks;
    - kemeny_exact: True if that order is proven to be optimal (up to 17 methods), False if it is the best
      that moving single methods can find.

    ValueError for repeated or missing ranks. Borda 1781; Kemeny 1959, "Mathematics without Numbers",
    Daedalus; dynamic programming over subsets after Held & Karp 1962.
    """
    import pandas as pd

    tables = [_of_criterion(criterion, rank_matrix(of)) for criterion, of in ranks.groupby("criterion", sort=True)]
    if not tables:
        raise ValueError("there are no ranks to find a consensus of.")
    return pd.concat(tables, ignore_index=True)


def kemeny_order(against: NDArray[np.integer]) -> tuple[list[int], bool]:
    """An order with the fewest disagreements, and whether it is proven to be one.

    against[i, j]: how many metrics disagree with placing i before j. Of several optimal orders, the
    lexicographically first.
    """
    if len(against) <= _EXACT_TO:
        return _exact(against), True
    return _local_search(against), False


def _of_criterion(criterion: object, table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    mean = table.mean(axis=1)
    table = table.loc[sorted(table.index, key=lambda name: (mean[name], str(name)))]
    values = table.to_numpy()
    against = np.sum(values[:, None] > values[None, :], axis=2)  # metrics that rank the row behind the column
    ties = np.sum(values[:, None] == values[None, :], axis=2)
    order, exact = kemeny_order(against)
    result = pd.DataFrame({"method": table.index, "criterion": criterion, "mean_rank": mean[table.index].to_numpy()})
    result["borda"] = against.sum(axis=0) + (ties.sum(axis=0) - values.shape[1]) / 2
    result["place_by_mean"] = result["mean_rank"].rank(method="min").astype(int)
    result["place_by_borda"] = result["borda"].rank(method="min", ascending=False).astype(int)
    result["place_by_kemeny"] = np.argsort(order) + 1
    result["kemeny_exact"] = exact
    return result


def _exact(against: NDArray[np.integer]) -> list[int]:
    """Dynamic programming: the cheapest order of a set of methods starts with one of them.

    Sets are bit masks; cost[s] is the fewest disagreements among the members of s.
    """
    n = len(against)
    sets = np.arange(2**n)
    behind = np.zeros((n, 2**n), dtype=np.int64)  # behind[i, s]: disagreements if i stands before all of s
    for j in range(n):
        behind[:, 2**j : 2 ** (j + 1)] = behind[:, : 2**j] + against[:, j, None]
    cost = np.zeros(2**n, dtype=np.int64)
    first = np.zeros(2**n, dtype=np.int64)
    size = np.sum([sets >> i & 1 for i in range(n)], axis=0)
    for k in range(1, n + 1):
        layer = sets[size == k]
        bill = np.full((n, len(layer)), np.iinfo(np.int64).max)
        for i in range(n):
            member = (layer >> i & 1).astype(bool)
            rest = layer[member] ^ (1 << i)
            bill[i, member] = behind[i, rest] + cost[rest]
        first[layer] = bill.argmin(axis=0)
        cost[layer] = bill.min(axis=0)
    order, left = [], 2**n - 1
    while left:
        order.append(int(first[left]))
        left ^= 1 << order[-1]
    return order


def _local_search(against: NDArray[np.integer]) -> list[int]:
    """From the given order, move single methods as long as that removes disagreements."""
    order, improved = list(range(len(against))), True
    while improved:
        improved = False
        for method in range(len(against)):
            rest = [other for other in order if other != method]
            # Cost of each slot: methods before the slot precede this one, the others follow it.
            before = np.concatenate([[0], np.cumsum(against[rest, method])])
            after = np.concatenate([np.cumsum(against[method, rest][::-1])[::-1], [0]])
            bill = before + after
            if bill.min() < bill[order.index(method)]:
                rest.insert(int(bill.argmin()), method)
                order, improved = rest, True
    return order
