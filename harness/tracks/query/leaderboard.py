"""How query strategies compare: area under the budget curve by group of studies, and who beats whom along the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.metrics.budget_curve import share_lost
from harness.spec.board import Table, TableRow
from harness.spec.query import QueryBenchmark
from harness.spec.run import Unit
from harness.statistics import DIGITS
from harness.tracks.base import Measurement, Track
from harness.tracks.leaderboard import BoardMetric, Entry, Leaderboard
from harness.tracks.query.curves import BUDGETS, CURVES, EFFICIENCY, FOREGROUND, PERFORMANCE, penalties
from harness.tracks.query.scoring import AUBC, study_efficiency

if TYPE_CHECKING:
    import numpy as np


class QueryLeaderboard(Leaderboard):
    """See `harness.tracks.leaderboard.Leaderboard`."""

    benchmark: QueryBenchmark

    def metric(self) -> BoardMetric:
        return BoardMetric(
            AUBC,
            "AUBC",
            lower_is_better=False,
            scale=100.0,
            explanation=(
                f"AUBC is the mean height of the curve of {PERFORMANCE[self.benchmark.performance]} on held-out data over "
                "equally spaced budgets, the common start included. Intervals are over held-out samples and seeds "
                "(paired bootstrap)."
            ),
            oracles_bound=False,  # to know where foreground is does not tell which of it teaches most
        )

    def entry(self, track: Track, measured: Mapping[Unit, Measurement]) -> dict[str, np.ndarray]:
        """With the curves of every study for which all units are there."""
        columns = super().entry(track, measured)
        for study in self.benchmark.studies:
            columns |= self._curves(study.id, {unit: each for unit, each in measured.items() if unit.study == study.id})
        return columns

    def exempt(self, inapplicable: Collection[Unit]) -> Collection[Unit]:
        """All or none: a benchmark has one task, which a strategy is made for or not."""
        campaigns = {(unit.study, unit.model_seed) for unit in inapplicable}
        return inapplicable if len(campaigns) == len(self.benchmark.studies) * len(self.benchmark.seeds) else ()

    def picture(self, entries: Sequence[Entry]) -> tuple[str, str] | None:
        from harness.tracks.query.drawing import curves_svg

        svg = curves_svg(entries, [study.id for study in self.benchmark.studies])
        return ("curves.svg", svg) if svg else None

    def tables(self, entries: Sequence[Entry]) -> tuple[Table, ...]:
        """Who beats whom, and what annotation was spent on; all rows of the board, references included, best first."""
        last = self.columns[-1]
        scored = [each for each in entries if last in each.arrays]
        scored.sort(key=lambda each: (-float(each.arrays[last][0]), each.method.name))
        tables = [self._penalties(scored)] if len(scored) > 1 and len(self.benchmark.seeds) > 1 else []
        tables += [self._efficiencies(scored), self._shares(scored)]
        return tuple(table for table in tables if table.rows and table.columns)

    def _curves(self, study: str, campaigns: Mapping[Unit, Measurement]) -> dict[str, np.ndarray]:
        import numpy as np

        ordered = [campaigns[unit].arrays for unit in sorted(campaigns, key=lambda unit: unit.model_seed)]
        whole = len(ordered) == len(self.benchmark.seeds)
        if not whole or not all(np.isfinite(each["performance"]).all() for each in ordered):
            return {}
        about = next(each for each in self.benchmark.studies if each.id == study)
        arrays = {
            CURVES: np.stack([each["performance"] for each in ordered]),
            BUDGETS: about.start + about.query * np.arange(about.loops),
        }
        if self.benchmark.performance == "dice":
            arrays[FOREGROUND] = np.stack([each["foreground"] for each in ordered])
            fit = study_efficiency(self.benchmark, about, campaigns)
            if fit is not None and np.isfinite(fit[0]):
                arrays[EFFICIENCY] = fit[:1]
        return {name + study: np.round(array, DIGITS) for name, array in arrays.items()}

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
            columns=tuple(study.id for study in self.benchmark.studies if study.full_performance is not None),
            rows=_by_study(
                entries, EFFICIENCY, [s.id for s in self.benchmark.studies if s.full_performance is not None]
            ),
        )

    def _shares(self, entries: Sequence[Entry]) -> Table:
        segmented = self.benchmark.performance == "dice"
        studies = [study.id for study in self.benchmark.studies] if segmented else []
        return Table(
            title="Annotated foreground",
            text="Share in % of the pool's foreground voxels that is annotated after the last loop, mean over seeds.",
            columns=tuple(studies),
            rows=_by_study(entries, FOREGROUND, studies, scale=100.0),
        )


def _by_study(entries: Sequence[Entry], kind: str, studies: Sequence[str], scale: float = 1.0) -> tuple[TableRow, ...]:
    """The last loop's value of each study, mean over seeds."""
    rows = []
    for each in entries:
        found = [each.arrays.get(kind + study) for study in studies]
        values = tuple(None if array is None else scale * float(array[..., -1].mean()) for array in found)
        rows.append(TableRow(method=each.method.name, values=values))
    return tuple(rows)
