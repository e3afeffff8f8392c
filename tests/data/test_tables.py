"""Plain tables of outputs: three layouts, one meaning."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data import tables
from harness.data.tables import rows_of
from harness.spec.errors import UsageError
from harness.spec.sources import TableSet, TableSource
from harness.storage import IntegrityError

COUNT, CLASSES = 30, 12  # more than ten classes: their columns must be sorted as numbers


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=(COUNT, CLASSES)),
        "labels": rng.integers(CLASSES, size=COUNT),
        "set": rng.permutation(["iid"] * 14 + ["noise"] * 16),
    }


def source(holds="logits", **changes):
    described = {"kind": "table", "models": [{"id": "m", "table": {"path": "t"}}], "sets": {"all": {"rows": [0, 1]}}}
    return TableSource.model_validate(described | {"holds": holds, "values": "logits"} | changes)


def read_table(path, source):
    return tables.read_table(path, source, source.models[0])


def npz(folder, truth):
    np.savez(folder / "t.npz", **truth)
    return folder / "t.npz"


def lists(folder, truth):
    columns = {"logits": list(truth["logits"]), "labels": truth["labels"], "set": truth["set"]}
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def prefixed(folder, truth):
    columns = {f"logits_{c}": truth["logits"][:, c] for c in np.random.default_rng(1).permutation(CLASSES)}
    pq.write_table(pa.table(columns | {"labels": truth["labels"], "set": truth["set"]}), folder / "t.parquet")
    return folder / "t.parquet"


LAYOUTS = pytest.mark.parametrize("write", [npz, lists, prefixed])


def refused(path, sentence, kind=IntegrityError, **changes):
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        read_table(path, source(**changes))
    assert str(path) in str(raised.value)


@LAYOUTS
def test_the_three_layouts_hold_the_same(tmp_path, truth, write):
    table = read_table(write(tmp_path, truth), source())
    np.testing.assert_array_equal(table.arrays["logits"], truth["logits"])
    assert table.arrays["logits"].dtype == truth["logits"].dtype == np.float64
    np.testing.assert_array_equal(table.labels, truth["labels"])
    assert table.labels.dtype == np.int64
    assert {name: rows.tolist() for name, rows in table.rows.items()} == positions(truth["set"])


def positions(names):
    return {name: np.flatnonzero(names == name).tolist() for name in set(names)}


@LAYOUTS
def test_sets_by_name_and_by_range(tmp_path, truth, write):
    path = write(tmp_path, truth)
    table = read_table(path, source())
    named = rows_of(table, TableSet(named="noise"), path)
    assert named.tolist() == [i for i in range(COUNT) if truth["set"][i] == "noise"]
    assert rows_of(table, TableSet(rows=(3, 7)), path).tolist() == [3, 4, 5, 6]
    assert len(rows_of(table, TableSet(rows=(0, COUNT)), path)) == COUNT


@LAYOUTS
def test_other_names_for_everything(tmp_path, truth, write):
    path = write(tmp_path, truth)
    renamed = tmp_path / f"other{path.suffix}"
    if write is npz:
        np.savez(renamed, p=truth["logits"], y=truth["labels"], part=truth["set"])
    else:
        table = pq.read_table(path)
        names = {"labels": "y", "set": "part"}
        pq.write_table(
            table.rename_columns([names.get(n, n.replace("logits", "p")) for n in table.column_names]), renamed
        )
    table = read_table(renamed, source(values="p", labels="y", set_column="part"))
    np.testing.assert_array_equal(table.labels, truth["labels"])
    assert {name: rows.tolist() for name, rows in table.rows.items()} == positions(truth["set"])


def test_whole_numbers_stored_as_floats_and_a_column_of_labels(tmp_path, truth):
    path = npz(tmp_path, truth | {"labels": truth["labels"].astype(np.float64)[:, None]})
    np.testing.assert_array_equal(read_table(path, source()).labels, truth["labels"])


def test_too_many_rows_asked(tmp_path, truth):
    path = npz(tmp_path, truth)
    with pytest.raises(UsageError, match=r"has 30 rows, but a set asks for rows 10 to 31"):
        rows_of(read_table(path, source()), TableSet(rows=(10, 31)), path)


def test_an_unknown_set_names_the_nearest(tmp_path, truth):
    path = npz(tmp_path, truth)
    with pytest.raises(UsageError, match="'noisy'; did you mean noise"):
        rows_of(read_table(path, source()), TableSet(named="noisy"), path)


def test_no_column_of_set_names(tmp_path, truth):
    del truth["set"]
    path = npz(tmp_path, truth)
    with pytest.raises(UsageError, match=r"has no column of set names; give sets as \{rows = \[first, end\]\}"):
        rows_of(read_table(path, source()), TableSet(named="iid"), path)


def test_no_such_file(tmp_path):
    refused(tmp_path / "t.npz", "does not exist; paths in a benchmark file are relative", UsageError)


@LAYOUTS
def test_a_wrong_name_of_the_values_or_labels_names_the_nearest(tmp_path, truth, write):
    path = write(tmp_path, truth)
    refused(path, "'logit'; did you mean logits", UsageError, values="logit")
    refused(path, "'label'; did you mean labels?", UsageError, labels="label")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": np.zeros(29, int)}, "labels has shape (29,), expected (30,)"),
        ({"labels": np.full(30, 0.5)}, "labels must hold class indices, whole numbers"),
        ({"labels": np.full(30, np.nan)}, "labels must hold class indices, whole numbers"),
        (
            {"labels": np.array(["cat"] * 30)},
            "labels holds <U3, not numbers; it must hold class indices, whole numbers",
        ),
        ({"set": np.array(["iid"] * 29)}, "set has shape (29,), expected (30,)"),
        ({"logits": np.zeros(30)}, "logits has shape (30,), expected (n, classes)"),
        ({"logits": np.zeros((30, 1))}, "logits has shape (30, 1), expected (n, classes)"),
        ({"logits": np.full((30, 2), np.nan)}, "logits holds NaN or infinite values"),
        ({"logits": np.full((30, 2), "a")}, "logits holds <U1, not numbers"),
    ],
)
def test_arrays_that_cannot_be(tmp_path, truth, change, sentence):
    refused(npz(tmp_path, truth | change), sentence)


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.5, -0.5], [2.0, -1.0]])
def test_probabilities_that_are_none(tmp_path, truth, row):
    path = npz(tmp_path, truth | {"logits": np.array([[0.5, 0.5]] * 29 + [row])})
    refused(
        path,
        "in row 29 (counted from 0)",
        UsageError,
        holds="probabilities",
    )
    assert len(read_table(path, source()).labels) == COUNT, "as logits they would do"


def test_probabilities_rounded_to_half_precision(tmp_path, truth):
    exponentials = np.exp(truth["logits"])
    rounded = (exponentials / exponentials.sum(1, keepdims=True)).astype(np.float16)
    assert (rounded.sum(1, dtype=np.float64) != 1).any()
    path = npz(tmp_path, truth | {"logits": rounded})
    np.testing.assert_array_equal(read_table(path, source("probabilities")).arrays["probabilities"], rounded)


def test_an_object_array_is_never_unpickled(tmp_path, truth):
    refused(npz(tmp_path, truth | {"logits": np.array([[None, {}]] * 30, dtype=object)}), "t.npz was refused")


# parquet ------------------------------------------------------------------------------------------


def test_a_missing_class_would_shift_those_after_it(tmp_path, truth):
    path = prefixed(tmp_path, truth)
    pq.write_table(pq.read_table(path).drop_columns(["logits_4"]), path)
    refused(path, "columns logits_<number> must be numbered from 0 without gaps", UsageError)


@pytest.mark.parametrize("values", [[[1.0, 2.0], [1.0]], [["a", "b"], ["c", "d"]], [[1.0, 2.0], None]])
def test_lists_that_are_no_matrix(tmp_path, values):
    pq.write_table(pa.table({"logits": values, "labels": [0, 1]}), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", "logits must hold one list of numbers, all equally long")


def test_an_empty_cell_is_not_a_number(tmp_path):
    columns = {"logits": [[1.0, 2.0], [None, 1.0]], "labels": [0, 1]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", "logits holds NaN or infinite values")
    pq.write_table(pa.table(columns | {"logits": [[1.0, 2.0]] * 2, "labels": [0, None]}), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", "labels must hold class indices")


@pytest.mark.parametrize("damage", [lambda data: b"text", lambda data: data[: len(data) // 2]])
def test_a_damaged_parquet_file(tmp_path, truth, damage):
    path = lists(tmp_path, truth)
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "is not a readable parquet file")
