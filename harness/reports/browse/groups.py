"""Which samples are alike: groups that fail often, and samples that stand for a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_GROUP = 60  # samples that a group has on average
_MOST_GROUPS, _MOST_SHOWN = 60, 12
_LEAST_FAILURES = 5
_OFTEN = 1.5  # times the overall failure rate
_SHARED = 0.5  # share of failures that have something in common for it to be said
_FOLLOWS = {"class": "class and prediction", "predicted": "class and prediction"}
"""Fact -> one that it is a part of: not said again where as many share it."""
_PROTOTYPES, _MOST_PROTOTYPES = 6, 240


@dataclass(frozen=True)
class FailureGroup:
    """members (m,): numbers of points, failures first, nearest to the centre of the group's failures first. samples,
    failures: how many the members stand for. shared: what most failures have in common."""

    members: np.ndarray
    samples: float
    failures: float
    shared: tuple[str, ...]

    @property
    def rate(self) -> float:
        return self.failures / self.samples


def failure_groups(
    components: np.ndarray, failed: np.ndarray, weight: np.ndarray, facts: Mapping[str, Sequence[str]]
) -> tuple[FailureGroup, ...]:
    """Groups of alike samples that fail clearly more often than all do, those with most failures first.

    Of tested points: principal components (n, c), whether each failed (n,), how many samples it stands for (n,), and
    facts: name -> (n,) texts that members may share. k-means divides them into groups of about 60 points, each point
    counting as the samples that it stands for: groups are of the data, however many failures were drawn.
    """
    import numpy as np

    count = min(_MOST_GROUPS, len(components) // _GROUP)
    if count < 2 or not failed.any():
        return ()
    label, _ = _divided(components, count, weight)
    overall, found = float(weight[failed].sum() / weight.sum()), []
    for each in range(count):
        mine = np.flatnonzero(label == each)
        wrong = mine[failed[mine]]
        samples, failures = float(weight[mine].sum()), float(weight[wrong].sum())
        if len(wrong) >= _LEAST_FAILURES and failures / samples >= min(_OFTEN * overall, (1 + overall) / 2):
            away = ((components[mine] - components[wrong].mean(axis=0)) ** 2).sum(axis=1)
            order = mine[np.lexsort((away, ~failed[mine]))]
            found.append(FailureGroup(order, samples, failures, tuple(_shared(wrong, facts))))
    return tuple(sorted(found, key=lambda group: (-group.failures, group.members[0]))[:_MOST_SHOWN])


def _shared(wrong: np.ndarray, facts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The most frequent value of each fact, where half of the failures have it."""
    import numpy as np

    said: dict[str, float] = {}
    for name, texts in facts.items():
        values, counts = np.unique([texts[row] for row in wrong], return_counts=True)
        share = float(counts.max() / len(wrong))
        if share >= _SHARED and said.get(_FOLLOWS.get(name, "")) != share:
            said[name] = share
            yield f"{name} {values[counts.argmax()]}: {100 * share:.0f} %"


def prototypes(components: np.ndarray, sets: np.ndarray, labels: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """(set, class) -> points that stand for it: those nearest to the centres that k-means finds among its points.

    Six of each, or one where there are many classes and sets.
    """
    import numpy as np

    pairs = sorted(set(zip(sets.tolist(), labels.tolist(), strict=True)))
    wanted = max(1, min(_PROTOTYPES, _MOST_PROTOTYPES // max(1, len(pairs))))
    found = {}
    for which, label in pairs[:_MOST_PROTOTYPES]:
        mine = np.flatnonzero((sets == which) & (labels == label))
        points = components[mine]
        count = min(wanted, len(np.unique(points, axis=0)))
        cluster, centres = _divided(points, count)
        order = np.argsort(-np.bincount(cluster, minlength=count), kind="stable")  # the largest first
        nearest = [int(mine[((points - centre) ** 2).sum(axis=1).argmin()]) for centre in centres[order]]
        found[which, label] = list(dict.fromkeys(nearest))
    return found


def _divided(points: np.ndarray, count: int, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(n,) clusters and (count, c) centres by k-means, seeded. weight (n,): what points count."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of points that are equal up to rounding
        way = KMeans(count, n_init=1, random_state=0).fit(points, sample_weight=weight)
    return way.labels_, way.cluster_centers_
