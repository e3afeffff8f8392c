"""How metrics of attribution maps compare: five views of what a metric is worth, and their mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.spec.attribution_metric import AttributionMetricBenchmark
from harness.spec.board import Table, TableRow
from harness.spec.run import Unit
from harness.statistics import DIGITS
from harness.tracks.attribution.studies import exempt_kinds
from harness.tracks.base import Measurement, Track
from harness.tracks.leaderboard import BoardMetric, Entry, Leaderboard

if TYPE_CHECKING:
    import numpy as np

AGREEMENT, STABILITY, OVERALL = "agreement", "stability", "overall"
COLUMNS = (AGREEMENT, "power", "sanity", "randomisation", STABILITY, OVERALL)
_TAU, _SHARE, _HALVES, _SEEDS = "_tau.", "_sanity_share", "_half_concordance", "_seed_concordance"


class AttributionMetricLeaderboard(Leaderboard):
    """See `harness.tracks.leaderboard.Leaderboard`."""

    benchmark: AttributionMetricBenchmark

    def __init__(self, protocol: LoadedBenchmark) -> None:
        super().__init__(protocol)
        self.columns = COLUMNS
        self.measures = None

    def metric(self) -> BoardMetric:
        return BoardMetric(
            "meta_score",
            "worth as a metric",
            lower_is_better=False,
            scale=100.0,
            explanation=(
                "*agreement*: Kendall's tau between the order of XAI methods by this metric and their consensus order in "
                "the criterion that it claims to measure, itself left out (-100 to 100, chance 0). *power*: share of the "
                f"pairs of methods that it tells apart (Friedman and Nemenyi, level {self.benchmark.alpha:g}; chance "
                "0). *sanity*: how much more often it prefers a real map to one that knows nothing (2 AUC - 1; chance "
                "0). *randomisation*: the same for maps of the trained and of a randomised network. *stability*: "
                "Kendall's W, mean of that between halves of the samples (chance 50) and that between networks that "
                "differ in the seed of their training (chance one over their number). Means over networks, then over "
                f"groups of studies; a metric that ties all methods counts 0, and a sample for which any map of a network has no score is left out there. *{OVERALL}* is the mean of the five: a convention, to be read beside them, for a "
                "metric may rightly differ from its kind. Intervals are over samples (paired bootstrap)."
            ),
            oracles_bound=False,
        )

    def entry(self, track: Track, measured: Mapping[Unit, Measurement]) -> dict[str, np.ndarray]:
        import numpy as np

        from harness.tracks.attribution_metric.scoring import (
            HALVES,
            POWER,
            RANDOMISATION,
            SANITY,
            SANITY_SHARE,
            SEEDS,
            over_groups,
            tau,
        )

        named = {_TAU + criterion: tau(criterion) for criterion in self.benchmark.reference}
        named |= {"power": POWER, "sanity": SANITY, "randomisation": RANDOMISATION}
        named |= {_SHARE: SANITY_SHARE, _HALVES: HALVES, _SEEDS: SEEDS}
        found = {key: over_groups(track, measured, name) for key, name in named.items()}
        columns = {key: draws for key, draws in found.items() if draws is not None}
        if _TAU + track.method.criterion in columns:
            columns[AGREEMENT] = columns[_TAU + track.method.criterion]
        if parts := [columns[key] for key in (_HALVES, _SEEDS) if key in columns]:
            columns[STABILITY] = np.mean(parts, axis=0)
        if all(column in columns for column in COLUMNS[:-1]):
            columns[OVERALL] = np.mean([columns[column] for column in COLUMNS[:-1]], axis=0)
        return {key: np.round(draws, DIGITS) for key, draws in columns.items()}

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """Units of a modality and architecture to which the metric does not apply at all."""
        return exempt_kinds(self.benchmark.source.models, self.benchmark.studies, inapplicable)

    def tables(self, entries: Sequence[Entry]) -> tuple[Table, ...]:
        """Agreement with every criterion, and the parts of sanity and stability; best first."""
        ordered = sorted(entries, key=lambda each: (-_first(each, OVERALL), each.method.name))
        criteria = {name: _TAU + name for name in self.benchmark.reference}
        parts = {"real above sanity rows": _SHARE, "W of halves": _HALVES, "W of seeds": _SEEDS}
        tables = (
            Table(
                title="Agreement with the consensus of each criterion",
                text=(
                    "Kendall's tau × 100 between the order of XAI methods by the row's metric and the mean rank over the "
                    "criterion's metrics, the row's own left out. A dash where no other metric is left."
                ),
                columns=tuple(criteria),
                rows=_rows(ordered, list(criteria.values())),
            ),
            Table(
                title="Parts of sanity and stability",
                text=(
                    "In %: share of the XAI methods whose median score is above those of all sanity rows; Kendall's W "
                    "between halves of the samples and between networks trained with other seeds."
                ),
                columns=tuple(parts),
                rows=_rows(ordered, list(parts.values())),
            ),
        )
        return tuple(table for table in tables if table.rows and table.columns)


def _first(entry: Entry, column: str) -> float:
    return float(entry.arrays[column][0]) if column in entry.arrays else float("-inf")


def _rows(entries: Sequence[Entry], names: Sequence[str]) -> tuple[TableRow, ...]:
    return tuple(
        TableRow(
            method=each.method.name,
            values=tuple(100 * float(each.arrays[name][0]) if name in each.arrays else None for name in names),
        )
        for each in entries
    )
