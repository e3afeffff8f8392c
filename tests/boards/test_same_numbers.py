"""A run's table and the board show the same value and the same interval, to the last digit, for every kind of method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness.boards.entries import leaderboard_of, method_entry
from harness.boards.submissions import read_submission, submissions_folder
from harness.data.catalog import find_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.spec.run import Unit
from harness.statistics import bootstrap_weights
from harness.statistics.resampling import shared_weights
from harness.tracks.base import Measurement, Track
from harness.tracks.leaderboard import Entry, Leaderboard
from harness.tracks.summary import long_table, scope_draws, summarize


@dataclass(frozen=True)
class Scored:
    track: Track
    measured: Mapping[Unit, Measurement]
    inapplicable: tuple[Unit, ...]
    leaderboard: Leaderboard
    entry: Entry


def scored(benchmark: str, method: str) -> Scored:
    """A submission, measured as the gate and the run's own table do it."""
    protocol = find_protocol(benchmark)
    submission = read_submission(submissions_folder(benchmark) / method)
    track = open_track(protocol, submission.about.method, "cpu")
    units = plan_units(protocol, track, submission.about.method, PlanRequest(Path()))
    measured = {unit: track.measure(unit, outputs) for unit, outputs in submission.answers(units).items()}
    entry = method_entry(protocol, track, measured, len(measured))
    return Scored(track, measured, submission.not_applicable(units), leaderboard_of(protocol), entry)


@pytest.mark.parametrize(
    ("benchmark", "method"), [("confidence-mnist@1", "msr"), ("query-mnist@2", "bald"), ("query-mni152@2", "bald")]
)
def test_a_column_of_the_board_is_a_row_of_the_table(benchmark: str, method: str) -> None:
    found = scored(benchmark, method)
    rows = {(row.study, row.metric): row for row in summarize(found.track, found.measured, found.inapplicable)}
    metric, compared = found.leaderboard.shows.metric, found.leaderboard.compared([found.entry])
    shared = [name for name in compared if (name, metric) in rows]
    assert shared == [name for name in found.leaderboard.columns if name != "mean"]
    for name in shared:
        cell, row = compared[name].cells()[method], rows[name, metric]
        assert (cell.value, cell.low, cell.high) == (row.value, row.low, row.high)


def test_judgements_of_a_metric_are_means_of_the_table() -> None:
    """Columns are means over groups of studies, of the very draws that the table's intervals come from."""
    found = scored("meta-mnist@1", "deletion")
    scopes = list(found.track.scopes(found.measured, found.inapplicable))
    for column in ("power", "sanity"):
        draws = [scope_draws(found.track, scope, found.measured, column) for scope in scopes]
        np.testing.assert_array_equal(found.entry.arrays[column], np.round(np.mean(draws, axis=0), 12))


def test_medians_of_the_table_and_ranks_of_the_board_share_their_resamples() -> None:
    """Ranks take medians of each cell under `shared_weights`; the table's medians are those of the same resamples."""
    found = scored("attribution-mnist@1", "saliency")
    settings = found.track.benchmark.bootstrap
    unit, measurement = next(iter(found.measured.items()))
    metric = next(name for name, values in measurement.arrays.items() if np.isfinite(values).all())
    values = found.entry.arrays[f"{unit.study}--{unit.model}--{metric}"]
    weights = bootstrap_weights(len(values), settings.replicates, settings.seed)
    np.testing.assert_array_equal(shared_weights(len(values), settings.replicates, settings.seed)[:, 1:].T, weights)
    resampled = [np.median(np.repeat(values, row)) for row in weights]
    np.testing.assert_allclose(measurement.scores[metric].draws, [np.median(values), *resampled], rtol=1e-12)


def test_the_long_table_has_a_row_for_every_draw() -> None:
    found = scored("query-mnist@2", "bald")
    table = long_table(found.measured)
    draws = {(u.study, u.model_seed, m): s.draws for u, each in found.measured.items() for m, s in each.scores.items()}
    assert len(table) == sum(map(len, draws.values()))
    for (study, seed, metric), rows in table.groupby(["study", "seed", "metric"]):
        np.testing.assert_array_equal(rows["value"], draws[study, seed, metric])
        assert set(rows["status"][rows["value"].isna()]) <= {"undefined"}
