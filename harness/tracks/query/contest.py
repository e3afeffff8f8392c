"""How query strategies compare: area under the budget curve by group of studies, and who beats whom along the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.data.catalog import LoadedBenchmark
from harness.metrics.budget_curve import mean_penalty, pairwise_penalty, share_lost
from harness.spec.board import Cell, Table, TableRow
from harness.spec.query import QueryBenchmark, QueryStudy
from harness.spec.run import Unit
from harness.tracks.base import Entry, Heading, Outputs, Track
from harness.tracks.columns import column_cells, column_ties
from harness.tracks.query.judging import Judged, judge
from harness.tracks.query.scoring import AUBC, campaigns_of, group_scores, study_efficiency, study_scores

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MEAN = "mean"
CURVES, FOREGROUND, BUDGETS, EFFICIENCY = "_curves.", "_foreground.", "_budgets.", "_efficiency."
"""Arrays of an entry by study, beside its columns: performance (seeds, loops) and annotated share of the foreground
(seeds, loops) with seeds in ascending order, annotated patches or images (loops,), and efficiency (1,)."""
_DIGITS = 12
"""Replicates are rounded, so that equal orders tie on every processor however its sums are rounded."""
PERFORMANCE = {"dice": "mean Dice", "accuracy": "accuracy", "balanced-accuracy": "balanced accuracy"}


class QueryContest:
    """See `harness.tracks.base.Contest`. An entry holds, by column, the score followed by its replicates."""

    def __init__(self, protocol: LoadedBenchmark) -> None:
        benchmark = self._benchmark = protocol.of(QueryBenchmark)
        groups = tuple(dict.fromkeys(study.group for study in benchmark.studies))
        self.columns = (*groups, MEAN) if len(groups) > 1 else groups
        self.heading = Heading(
            "aubc",
            "AUBC",
            lower_is_better=False,
            scale=100.0,
            explanation=(
                f"AUBC is the mean height of the curve of {PERFORMANCE[benchmark.performance]} on held-out data over "
                "equally spaced budgets, the common start included. Intervals are over held-out samples and seeds "
                "(paired bootstrap)."
            ),
            oracles_bound=False,  # to know where foreground is does not tell which of it teaches most
        )

    def entry(self, track: Track, answered: Mapping[Unit, Outputs]) -> dict[str, np.ndarray]:
        """AUBC of every group of studies for which all units are there, and their mean; curves of every such study."""
        import numpy as np

        from harness.tracks.query.track import QueryTrack

        assert isinstance(track, QueryTrack)
        judged = {}
        for unit, outputs in answered.items():
            setting = track.settings[unit.study]
            judged[unit] = judge(setting, self._benchmark, outputs, setting.study.loops)
        grouped = group_scores(self._benchmark, study_scores(self._benchmark, judged)[AUBC])
        values, replicates = dict(grouped.values), dict(grouped.replicates)
        if MEAN in self.columns and len(values) == len(self.columns) - 1:
            values[MEAN] = float(np.mean(list(values.values())))
            replicates[MEAN] = np.mean(list(replicates.values()), axis=0)
        columns = {name: np.round(np.concatenate([[values[name]], replicates[name]]), _DIGITS) for name in values}
        for study in self._benchmark.studies:
            columns |= self._curves(study, campaigns_of(study, judged))
        return columns

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """All or none: a benchmark has one task, which a strategy is made for or not."""
        campaigns = {(unit.study, unit.model_seed) for unit in inapplicable}
        return inapplicable if len(campaigns) == len(self._benchmark.studies) * len(self._benchmark.seeds) else ()

    def cells(self, entries: Sequence[Entry]) -> dict[str, dict[str, Cell]]:
        return {column: column_cells(entries, column, lower_is_better=False) for column in self.columns}

    def tied(self, entries: Sequence[Entry], name: str) -> dict[str, tuple[str, ...]]:
        """Those for which the 95 % interval of the paired difference contains 0."""
        own = next(each for each in entries if each.method.name == name)
        columns = (each for each in self.columns if each in own.arrays)
        return {column: column_ties(entries, name, column, lower_is_better=False) for column in columns}

    def appendix(self, entries: Sequence[Entry]) -> tuple[Table, ...]:
        """Who beats whom, and what annotation was spent on; all rows of the board, references included, best first."""
        last = self.columns[-1]
        scored = [each for each in entries if last in each.arrays]
        scored.sort(key=lambda each: (-float(each.arrays[last][0]), each.method.name))
        tables = [self._penalties(scored)] if len(scored) > 1 and len(self._benchmark.seeds) > 1 else []
        tables += [self._efficiencies(scored), self._shares(scored)]
        return tuple(table for table in tables if table.rows and table.columns)

    def _curves(self, study: QueryStudy, campaigns: Sequence[Judged]) -> dict[str, np.ndarray]:
        import numpy as np

        whole = len(campaigns) == len(self._benchmark.seeds)
        if not whole or not all(np.isfinite(each.performance).all() for each in campaigns):
            return {}
        arrays = {
            CURVES: np.stack([each.performance for each in campaigns]),
            BUDGETS: study.start + study.query * np.arange(study.loops),
        }
        if self._benchmark.performance == "dice":
            arrays[FOREGROUND] = np.stack([each.foreground for each in campaigns if each.foreground is not None])
            fit = study_efficiency(self._benchmark, study, campaigns)
            if fit is not None:
                arrays[EFFICIENCY] = np.array(fit[:1])
        return {name + study.id: np.round(array, _DIGITS) for name, array in arrays.items()}

    def _penalties(self, entries: Sequence[Entry]) -> Table:
        plain, holm = penalties(entries), penalties(entries, correction="holm")
        lost, lost_holm = share_lost(plain), share_lost(holm)
        names = [each.method.name for each in entries]
        shares = 100 * plain.loc[names, names].to_numpy(dtype=float)
        return Table(
            title="Who beats whom",
            text=(
                "Share in % of the budgets at which the row's method is significantly better than that of the column: "
                "a t-test paired by seed (two-sided, level 0.05) at every budget of every study, the common start "
                "among them, averaged over studies. Numbered columns are the rows in their order. *lost* is how often "
                "a method is beaten, the mean over its rivals; *lost (Holm)* the same after Holm's correction for all "
                "pairs and budgets of a study."
            ),
            columns=(*(str(number + 1) for number in range(len(names))), "lost", "lost (Holm)"),
            rows=tuple(
                TableRow(
                    method=name,
                    values=(
                        *(None if i == j else float(shares[i, j]) for j in range(len(names))),
                        100 * float(lost[name]),
                        100 * float(lost_holm[name]),
                    ),
                )
                for i, name in enumerate(names)
            ),
        )

    def _efficiencies(self, entries: Sequence[Entry]) -> Table:
        return Table(
            title="Foreground efficiency",
            text=(
                "Rate at which a method closes the gap to full data per annotated share of the foreground; higher is "
                "better, comparable within a column only. A dash where the curves leave no gap to describe."
            ),
            columns=tuple(study.id for study in self._benchmark.studies if study.full_performance is not None),
            rows=_by_study(
                entries, EFFICIENCY, [s.id for s in self._benchmark.studies if s.full_performance is not None]
            ),
        )

    def _shares(self, entries: Sequence[Entry]) -> Table:
        segmented = self._benchmark.performance == "dice"
        studies = [study.id for study in self._benchmark.studies] if segmented else []
        return Table(
            title="Annotated foreground",
            text="Share in % of the pool's foreground voxels that is annotated after the last loop, mean over seeds.",
            columns=tuple(studies),
            rows=_by_study(entries, FOREGROUND, studies, scale=100.0),
        )


def penalties(entries: Sequence[Entry], correction: Literal["holm"] | None = None) -> pd.DataFrame:
    """Share of budgets at which the row's method is significantly better than the column's, mean over studies.

    Of the methods that have all curves, references included; see `harness.metrics.budget_curve.pairwise_penalty`.
    ValueError for less than two seeds and for no curves.
    """
    frame = curve_table(entries)
    return mean_penalty(
        pairwise_penalty(of, budget="loop", value="performance", correction=correction)
        for _, of in frame.groupby("study", sort=True)
    )


def curve_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Curves of all entries that have the curves of every study, one row per method, study, seed and loop.

    Columns: method, study, seed (counted from 0), loop, performance.
    """
    import numpy as np
    import pandas as pd

    studies = {name for each in entries for name in each.arrays if name.startswith(CURVES)}
    columns = ["method", "study", "seed", "loop", "performance"]
    tables = [pd.DataFrame(columns=columns)] if not studies else []
    for each in entries:
        for name in sorted(studies) if studies <= set(each.arrays) else []:
            values = each.arrays[name]
            seed, loop = np.indices(values.shape)
            where = {"method": each.method.name, "study": name.removeprefix(CURVES)}
            rows = {"seed": seed.ravel(), "loop": loop.ravel(), "performance": values.ravel()}
            tables.append(pd.DataFrame({**where, **rows}, columns=columns))
    return pd.concat(tables, ignore_index=True)


def _by_study(entries: Sequence[Entry], kind: str, studies: Sequence[str], scale: float = 1.0) -> tuple[TableRow, ...]:
    """The last loop's value of each study, mean over seeds."""
    rows = []
    for each in entries:
        found = [each.arrays.get(kind + study) for study in studies]
        values = tuple(None if array is None else scale * float(array[..., -1].mean()) for array in found)
        rows.append(TableRow(method=each.method.name, values=values))
    return tuple(rows)
