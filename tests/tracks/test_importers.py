"""All kinds of released results keep one contract."""

import numpy as np
import pytest

from harness.metrics.attribution.registry import METRICS, ORDERS, latec_range
from harness.spec.errors import UsageError
from harness.tracks.importers import IMPORTERS, import_results, latec_orders
from tests.data.importers.latec_files import map_arrays, score_arrays
from tests.data.importers.test_fdshifts import ROW, write
from tests.data.importers.test_openood import HEADER, ROWS
from tests.data.test_fdshifts import made, store, tables
from tests.tracks.query.test_published import summary, write_run


def released(kind, folder):
    """Something of each kind, and the options that it needs."""
    if kind.startswith("latec"):
        arrays = score_arrays() if kind == "latec-scores" else map_arrays()
        np.savez(folder / "oct.npz", *arrays)
        return folder / "oct.npz", {"order": "published"} if kind == "latec-scores" else {}
    if kind == "fd-shifts":
        return store(folder / "run", tables(made())), {}
    if kind == "nnactive":
        write_run(folder / "results", "random", 1, [summary(0.5)])
        return folder / "results", {}
    if kind == "openood":
        (folder / "cifar10.csv").write_text(HEADER + ROWS)
        return folder / "cifar10.csv", {}
    (folder / "test_metrics.csv").write_text(",test_acc,val_acc\n0,0.5,\n")
    return folder / "test_metrics.csv", {}


@pytest.mark.parametrize("kind", IMPORTERS)
def test_tables_are_documented_keyed_and_the_same_twice(tmp_path, kind):
    path, options = released(kind, tmp_path)
    first, again = (import_results(kind, path, options) for _ in range(2))
    assert first.frame.equals(again.frame)
    assert list(first.frame.columns) == [column.name for column in first.columns]
    assert all(column.meaning for column in first.columns)
    assert set(first.key) <= set(first.frame.columns)
    assert not first.frame.duplicated(list(first.key)).any()
    for column in first.columns:
        if column.type == "real":
            assert not np.isinf(first.frame[column.name].astype(float)).any()
    if "value" in first.frame:
        assert (first.frame["value"].isna() == (first.frame["status"] != "ok")).all()


def test_unknown_kinds_and_options(tmp_path):
    with pytest.raises(
        UsageError, match="no kind of released results is called 'latec-score'; did you mean latec-scores"
    ):
        import_results("latec-score", tmp_path)
    with pytest.raises(UsageError, match="openood takes no --order; leave it out"):
        import_results("openood", tmp_path, {"order": "config"})


def test_metrics_of_analysis_tables_are_the_harness_own(tmp_path):
    from harness.metrics.facts import metric_facts

    table = import_results("fd-shifts", write(tmp_path, [ROW])).frame
    ours = table[table["metric"] != ""]
    assert set(ours["metric"]) <= set(metric_facts())
    for row in ours.itertuples(index=False):
        fact = metric_facts()[row.metric]
        assert row.direction == ("lower" if fact.lower_is_better else "higher")


def test_ranges_of_latec_differ_only_where_its_units_do():
    """Its areas run over numbered steps, its Infidelity is not divided, and its map of zeros has no complexity."""
    other = {name for name in ORDERS["published"] if latec_range(name) != METRICS[name].range}
    assert other == {"pixel_flipping", "region_perturbation", "irof", "road", "infidelity", "effective_complexity"}
    for name, measures in latec_orders().items():
        assert [measure.id for measure in measures] == list(ORDERS[name])
        assert all(measure.direction == METRICS[measure.id].direction for measure in measures)
