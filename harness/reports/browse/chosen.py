"""Which samples a page shows: all where they fit, else all failures, the successes that scores doubt most, and a draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reports.browse.samples import FAILURE, Browsed

if TYPE_CHECKING:
    import numpy as np

_DOUBTED = 24
"""Least confident successes of each study and score that are always kept."""
_TRAINING_SHARE = 5
"""Where not all fit, one point in so many may be a training sample."""
_SUCCESS_SHARE = 4
"""However many must be kept, one in so many points is left for a draw from the rest."""


@dataclass(frozen=True)
class Chosen:
    """n points, in the order of sets and of samples in them.

    sets, samples (n,): as in `JudgedStudy`. weight (n,): how many samples a point stands for. tested, failures: how many
    tested samples and failures among them there are in all, shown or not.
    """

    sets: np.ndarray
    samples: np.ndarray
    weight: np.ndarray
    tested: int
    failures: int
    _starts: np.ndarray
    _place: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether every sample is a point."""
        return len(self.sets) == len(self._place)

    def points_of(self, sets: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """(m,): the number of each sample's point, or -1."""
        found: np.ndarray = self._place[self._starts[sets] + samples]
        return found


def chosen_samples(browsed: Browsed, most: int) -> Chosen:
    """At most `most` points, unless there are too many failures, which are all kept. The draw is seeded."""
    import numpy as np

    sizes = [len(each.labels) for each in browsed.sets]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    tested, failed, kept = (np.zeros(starts[-1], dtype=bool) for _ in range(3))
    for study in browsed.studies:
        at = starts[study.sets] + study.samples
        tested[at] = True
        for codes in study.outcome.values():
            failed[at[codes == FAILURE]] = True
        for judged in study.judged.values():
            right = np.flatnonzero(judged.residual == 0)
            doubted = right[np.argsort(judged.confidence[right], kind="stable")[:_DOUBTED]]
            kept[at[judged.keep][doubted]] = True
    kept |= failed
    training = np.repeat([each.role == "training" for each in browsed.sets], sizes)
    draw, weight = np.random.default_rng(0), np.ones(starts[-1])
    learnt, others = np.flatnonzero(training & ~kept), np.flatnonzero(tested & ~kept)
    for_training = min(len(learnt), max(most // _TRAINING_SHARE, most - int(tested.sum())))
    for rows, room in (
        (learnt, for_training),
        (others, max(most // _SUCCESS_SHARE, most - for_training - int(kept.sum()))),
    ):
        drawn = rows if room >= len(rows) else draw.choice(rows, room, replace=False)
        kept[drawn] = True
        weight[drawn] = len(rows) / max(1, len(drawn))
    points = np.flatnonzero(kept)
    place = np.full(starts[-1], -1)
    place[points] = np.arange(len(points))
    sets = np.searchsorted(starts, points, side="right") - 1
    counts = int(tested.sum()), int(failed.sum())
    return Chosen(sets, points - starts[sets], weight[points], *counts, starts, place)
