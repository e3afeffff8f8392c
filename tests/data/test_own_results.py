"""Tables of results, and what else tables of outputs may hold: what must be mended in a file is one sentence."""

import decimal
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.tables import read_results, read_table, rows_of
from harness.spec.errors import UsageError
from harness.spec.sources import ResultsSource, TableSet, TableSource
from harness.storage import IntegrityError

COUNT, CLASSES, FEATURES, MEMBERS = 30, 4, 5, 3
MODELS = [{"id": "m", "table": {"path": "t"}}]
SETS = {"all": {"rows": "all"}}
COLUMNS = {"label": [0, 1, 2, 0], "prediction": [0, 1, 1, 0], "confidence": [0.9, 0.25, 1e-9, 0.7]}


def results(path, classes=None):
    return read_results(path, ResultsSource(kind="results", models=MODELS, sets=SETS, classes=classes))


def csv(folder, text):
    (folder / "mine.csv").write_text(text)
    return folder / "mine.csv"


def parquet(folder, columns):
    pq.write_table(pa.table(columns), folder / "mine.parquet")
    return folder / "mine.parquet"


def refused(path, sentence, kind=IntegrityError, **options):
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        results(path, **options)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


# results ------------------------------------------------------------------------------------------

CSV = "label,prediction,confidence\n0,0,0.9\n1,1,0.25\n2,1,1e-9\n0,0,0.7\n"
WRITERS = {
    "csv": lambda folder: csv(folder, CSV),
    "csv of a spreadsheet": lambda folder: csv(folder, "\ufeff" + CSV.replace("\n", "\r\n").replace("0.9", '"0.9"')),
    "other columns and order": lambda folder: csv(
        folder, "file,confidence,label,prediction\na.png,0.9,0,0\nb.png,0.25,1,1\n,1e-9,2,1\nd.png,0.7,0,0\n"
    ),
    "parquet": lambda folder: parquet(folder, COLUMNS),
    "categories": lambda folder: parquet(folder, COLUMNS | {"label": pa.array(COLUMNS["label"]).dictionary_encode()}),
    "whole floats": lambda folder: parquet(folder, COLUMNS | {"prediction": [0.0, 1.0, 1.0, 0.0]}),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_results_hold_a_confidence_and_predictions(tmp_path, write):
    table = results(write(tmp_path), classes=3)
    assert set(table.arrays) == {"head_confidence", "predictions"}
    assert table.arrays["head_confidence"].tolist() == COLUMNS["confidence"]
    assert table.arrays["head_confidence"].dtype == np.float64
    assert table.arrays["predictions"].tolist() == COLUMNS["prediction"]
    assert table.labels.tolist() == COLUMNS["label"]
    assert table.rows is None
    assert table.ids is None


def test_a_file_of_many_row_groups_is_read_in_order(tmp_path):
    confidence = np.random.default_rng(0).random(10_000)
    label = np.arange(10_000)
    pq.write_table(
        pa.table({"label": label, "prediction": label, "confidence": confidence, "set": (label % 3).astype(str)}),
        tmp_path / "mine.parquet",
        row_group_size=777,
    )
    table = results(tmp_path / "mine.parquet")
    np.testing.assert_array_equal(table.arrays["head_confidence"], confidence)
    np.testing.assert_array_equal(table.rows["2"], label[label % 3 == 2])


def test_sets_by_name_and_whole(tmp_path):
    path = csv(tmp_path, "label,prediction,confidence,set\n0,0,0.9,iid\n1,1,0.8,new\n1,0,0.7,\n1,1,0.6,iid\n")
    table = results(path)
    assert rows_of(table, TableSet(named="iid"), path).tolist() == [0, 3]
    assert rows_of(table, TableSet(rows="all"), path).tolist() == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="there are: iid, new"):
        rows_of(table, TableSet(named="x"), path)


WANTED = "results have the columns label (the true class), prediction (the predicted class), confidence (higher = more"


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("label,prediction,conf", "has no column confidence;"),
        ("y_true,y_pred,score", "has no column label and no column prediction and no column confidence;"),
        ("Label,prediction,confidence", "has no column label;"),
        ("0,1,0.5", "the columns of this file are 0, 1, 0.5: rename them."),
    ],
)
def test_other_names_of_columns_are_told_the_wanted_ones(tmp_path, header, sentence):
    path = csv(tmp_path, CSV.replace("label,prediction,confidence", header))
    refused(path, sentence, UsageError)
    refused(path, WANTED, UsageError)


def test_columns_that_commas_do_not_separate(tmp_path):
    path = csv(tmp_path, CSV.replace(",", ";"))
    refused(path, "separates its columns by semicolons; save it with commas", UsageError)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0,0,high", "confidence holds 'high' in row 4 (counted from 0), not a number"),
        ("0,0,", "confidence holds NaN or infinite values, first in row 4 (counted from 0)"),
        ("0,0,nan", "confidence holds NaN or infinite values, first in row 4 (counted from 0)"),
        ("0,0,inf", "confidence holds NaN or infinite values, first in row 4 (counted from 0)"),
        ("0,0,-inf", "confidence holds NaN or infinite values, first in row 4 (counted from 0)"),
        ("0,0,1e999", "confidence holds NaN or infinite values, first in row 4 (counted from 0)"),
        (
            "cat,0,1",
            "label holds 'cat' in row 4 (counted from 0), not a number; it must hold class indices, whole numbers in every row",
        ),
        ("0,0.5,1", "prediction must hold class indices, whole numbers in every row; row 4 (counted from 0) has 0.5"),
        (",0,1", "label must hold class indices, whole numbers in every row; row 4 (counted from 0) has nan"),
        ("0,0", "Expected 3 columns, got 2: 0,0"),
        ("0,0,1,1", "Expected 3 columns, got 4: 0,0,1,1"),
        ("0,0,<b>1</b>", "confidence holds '<b>1</b>' in row 4 (counted from 0), not a number"),
    ],
)
def test_a_bad_row_of_results(tmp_path, line, sentence):
    refused(csv(tmp_path, CSV + line + "\n"), sentence)


@pytest.mark.parametrize(
    ("prediction", "classes", "sentence"),
    [
        (-1, None, "row 1 (counted from 0) has the prediction -1, but classes are numbered from 0."),
        (3, 3, "row 1 (counted from 0) has the prediction 3, but the 3 classes are numbered 0 to 2."),
        (-1, 3, "row 1 (counted from 0) has the prediction -1, but the 3 classes are numbered 0 to 2."),
    ],
)
def test_a_prediction_outside_of_the_classes(tmp_path, prediction, classes, sentence):
    path = parquet(tmp_path, COLUMNS | {"prediction": [0, prediction, 1, 0]})
    refused(path, sentence, UsageError, classes=classes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "mine.csv is empty."),
        ("label,prediction,confidence\n", "mine.csv has no rows."),
        ("label,label,prediction,confidence\n0,0,0,1\n", "has two columns named 'label'; leave one."),
        ("<!DOCTYPE html>\n<html>\n", "has no column label and no column prediction"),
    ],
)
def test_files_that_hold_no_results(tmp_path, text, sentence):
    refused(csv(tmp_path, text), sentence, (IntegrityError, UsageError))


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"label,prediction,confidence\n0,0,\xff\xfe\n")
    refused(tmp_path / "mine.csv", "confidence holds binary, not numbers")


@pytest.mark.parametrize("name", ["mine.xlsx", "mine.tsv", "mine", "mine.CSV"])
def test_another_form_of_file(tmp_path, name):
    (tmp_path / name).write_text(CSV)
    refused(tmp_path / name, "a table ends in .npz, .parquet, .csv; save it as one of these.", UsageError)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([decimal.Decimal("0.5")] * 4, "decimal128(1, 1)"),
        (pa.array([1, 2, 3, 4], pa.timestamp("s")), "timestamp"),
        ([b"a"] * 4, "binary"),
        ([{"a": 1}] * 4, "struct<a: int64>"),
        (pa.nulls(4), "null"),
    ],
)
def test_types_of_parquet_that_are_no_numbers(tmp_path, values, kind):
    path = parquet(tmp_path, COLUMNS | {"confidence": values})
    refused(path, f"confidence holds {kind}")
    refused(path, "not numbers; store it as floats or whole numbers")


def test_numbers_that_parquet_holds_as_text(tmp_path):
    refused(parquet(tmp_path, COLUMNS | {"confidence": ["0.1", "0.2", "0.3", "0.4"]}), "confidence holds text, not num")


def test_lists_are_no_confidence(tmp_path):
    path = parquet(tmp_path, COLUMNS | {"confidence": [[0.1, 0.9]] * 4})
    refused(path, "confidence has shape (4, 2), expected one number for each row")


def test_ids_are_there_once(tmp_path):
    refused(parquet(tmp_path, COLUMNS | {"id": ["a", "b", "c", "b"]}), "id 'b' stands in more than one row")
    refused(parquet(tmp_path, COLUMNS | {"id": [1, 2, None, 4]}), "id is empty in row 2 (counted from 0)")
    refused(parquet(tmp_path, COLUMNS | {"id": [[1], [2], [3], [4]]}), "id holds list<element: int64>, not one text")
    table = results(parquet(tmp_path, COLUMNS | {"id": [4, 3, 2, 1]}))
    assert table.ids.to_pylist() == ["4", "3", "2", "1"]


# what else a table of outputs may hold ------------------------------------------------------------


def made():
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=(COUNT, CLASSES)),
        "labels": rng.integers(CLASSES, size=COUNT),
        "mc": rng.normal(size=(MEMBERS, COUNT, CLASSES)),
        "hidden": rng.normal(size=(COUNT, FEATURES)),
        "head": rng.random(COUNT),
    }


NAMED = {"mc_logits": "mc", "features": "hidden", "head_confidence": "head"}


def source(**changes):
    described = {"kind": "table", "models": MODELS, "sets": SETS, "holds": "logits", "values": "logits"}
    return TableSource.model_validate(described | NAMED | changes)


def npz(folder, arrays):
    np.savez(folder / "t.npz", **arrays)
    return folder / "t.npz"


def nested(folder, arrays):
    columns = arrays | {
        "logits": arrays["logits"].tolist(),
        "hidden": arrays["hidden"].tolist(),
        "mc": np.moveaxis(arrays["mc"], 0, 1).tolist(),
    }
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=7)
    return folder / "t.parquet"


def refused_table(path, sentence, kind=IntegrityError, **changes):
    chosen = source(**changes)
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        read_table(path, chosen, chosen.models[0])
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("write", [npz, nested])
def test_members_features_and_a_head(tmp_path, write):
    truth = made()
    chosen = source()
    table = read_table(write(tmp_path, truth), chosen, chosen.models[0])
    assert set(table.arrays) == {"logits", "mc_logits", "features", "head_confidence"}
    for name, stored in {"logits": "logits", **NAMED}.items():
        np.testing.assert_array_equal(table.arrays[name], truth[stored])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mc": np.zeros((3, 30, 5))}, "mc has shape (3, 30, 5), expected (members, 30, 4)"),
        ({"mc": np.zeros((3, 29, 4))}, "mc has shape (3, 29, 4), expected (members, 30, 4)"),
        ({"mc": np.zeros((30, 3, 4))}, "mc has shape (30, 3, 4), expected (members, 30, 4)"),
        ({"mc": np.zeros((30, 4))}, "mc has shape (30, 4), expected (members, 30, 4)"),
        ({"mc": np.zeros((0, 30, 4))}, "mc has shape (0, 30, 4), expected (members, 30, 4)"),
        ({"mc": np.where(np.arange(4) == 1, np.inf, np.zeros((3, 30, 4)))}, "mc holds NaN or infinite values, first in row 0 (counted from 0)"),
        ({"hidden": np.zeros((29, 5))}, "hidden has shape (29, 5), expected (30, features)"),
        ({"hidden": np.zeros(30)}, "hidden has shape (30,), expected (30, features)"),
        ({"hidden": np.zeros((30, 0))}, "hidden has shape (30, 0), expected (30, features)"),
        ({"hidden": np.where(np.arange(30) == 3, np.nan, 1.0)[:, None]}, "hidden holds NaN or infinite values, first in row 3 (counted from 0)"),
        ({"head": np.zeros(29)}, "head has shape (29,), expected (30,)"),
        ({"head": np.zeros((30, 1))}, "head has shape (30, 1), expected (30,)"),
        ({"head": np.full(30, np.nan)}, "head holds NaN or infinite values, first in row 0 (counted from 0)"),
        ({"head": np.full(30, "a")}, "head holds <U1, not numbers"),
        ({"head": np.ones(30, bool)}, "head holds bool, not numbers"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(tmp_path, change, sentence):
    refused_table(npz(tmp_path, made() | change), sentence)


def test_members_that_are_probabilities(tmp_path):
    path = npz(tmp_path, made() | {"mc": np.full((MEMBERS, COUNT, CLASSES), 1 / CLASSES)})
    refused_table(path, "rows of mc sum to 1; these are probabilities, name them mc_probabilities.", UsageError)
    truth = made()
    refused_table(
        npz(tmp_path, truth),
        "and probabilities are never negative; if these are logits, name them mc_logits.",
        UsageError,
        mc_logits=None,
        mc_probabilities="mc",
    )


def test_a_name_that_is_not_there(tmp_path):
    refused_table(npz(tmp_path, made()), "'heads'; did you mean head?", UsageError, head_confidence="heads")


@pytest.mark.parametrize("rows", [[[[1.0] * 4] * 3] * 29 + [[[1.0] * 4] * 2], [[[1.0] * 4] * 3] * 29 + [None]])
def test_members_that_are_no_matrix_in_every_row(tmp_path, rows):
    truth = made()
    columns = {"logits": truth["logits"].tolist(), "labels": truth["labels"], "mc": rows}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    sentence = "mc must hold one list of numbers, all equally long"
    refused_table(tmp_path / "t.parquet", sentence, features=None, head_confidence=None)


def test_columns_of_several_types_keep_every_digit(tmp_path):
    truth = made()["logits"]
    columns = {"logits_0": np.arange(COUNT), "logits_1": truth[:, 1], "labels": np.zeros(COUNT, int)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    chosen = source(mc_logits=None, features=None, head_confidence=None)
    table = read_table(tmp_path / "t.parquet", chosen, chosen.models[0])
    np.testing.assert_array_equal(table.arrays["logits"], np.column_stack([np.arange(COUNT), truth[:, 1]]))


def test_only_models_with_a_head_need_its_confidence():
    both = [{"id": "plain", "table": {"path": "a"}}, {"id": "h", "head": "devries", "table": {"path": "b"}}]
    chosen = source(models=both)
    assert ["head_confidence" in chosen.arrays_of(model) for model in chosen.models] == [False, True]
    assert "head_confidence" in source().arrays_of(source().models[0])


def test_members_are_named_once():
    with pytest.raises(ValueError, match="mc_logits and mc_probabilities could disagree; name one of them"):
        source(mc_probabilities="p")


def test_a_table_of_outputs_alone_is_described_as_ever():
    """The hashes of benchmarks that users have must stay."""
    alone = TableSource(kind="table", models=MODELS, sets=SETS, holds="logits", values="logits").canonical()
    assert set(alone) == {"kind", "models", "sets", "holds", "values", "labels", "set_column"}
    assert {"features", "mc_logits", "head_confidence"} <= set(source().canonical())
