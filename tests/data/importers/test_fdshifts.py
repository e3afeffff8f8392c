"""FD-Shifts' outputs and analysis tables as long tables."""

import csv
import re

import numpy as np
import pytest

from harness.data.importers.fdshifts import read_fdshifts_results
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import import_results
from tests.data.test_fdshifts import made, store, tables

ROW = {
    "name": "cifar10_paper_sweep/confidnet_bbvgg13_do1_run1_rew2.2",
    "study": "iid_study",
    "model": "confidnet",
    "network": "vgg13",
    "fold": "1",
    "confid": "det_mcp",
    "n_test": "9000",
    "accuracy": "0.93211",
    "nll": "0.03",
    "brier_score": "0.11",
    "failauc": "0.91234",
    "failap_suc": "0.99",
    "failap_err": "0.5",
    "fail-NLL": "0.2",
    "mce": "0.3",
    "ece": "0.02",
    "e-aurc": "4.1",
    "b-aurc": "7.5",
    "aurc": "6.41234",
    "augrc": "5.71234",
    "e-augrc": "3.3",
    "augrc-ba": "5.9",
    "aurc-ba": "8.0",
    "fpr@95tpr": "0.41",
    "risk@100cov": "6.789",
    "risk@75cov": "0.2",
    "test_risk@75cov": "0.3",
    "thresh": "0.7",
}


def write(folder, rows, name="analysis_metrics_iid_study.csv", header=None):
    with (folder / name).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def read(path, **options):
    return import_results("fd-shifts", path, options)


def refused(path, sentence, kind=IntegrityError):
    with pytest.raises(kind, match=re.escape(sentence)):
        read(path)


# analysis tables ----------------------------------------------------------------------------------


def test_every_metric_with_its_id_direction_and_unit(tmp_path):
    table = read(write(tmp_path, [ROW])).frame.set_index("column")
    assert table.loc["augrc", ["metric", "direction", "unit", "factor", "value"]].tolist() == [
        *("augrc", "lower", "x1000", 1000, 5.71234)
    ]
    assert table.loc["failauc", ["metric", "direction", "unit", "factor"]].tolist() == [
        *("failure_auroc", "higher", "share", 1)
    ]
    assert table.loc["e-aurc", "metric"] == "excess_aurc"
    assert table.loc["risk@100cov", ["metric", "direction", "unit"]].tolist() == ["", "lower", "%"]
    assert table.loc["nll", "metric"] == "", "theirs is divided by the number of classes"
    assert set(table["study"]) == {"iid_study"}
    assert set(table["n"]) == {9000}
    assert set(table["status"]) == {"ok"}
    assert len(table) == len(ROW) - 8


def test_what_is_known_to_be_odd_is_said(tmp_path):
    notes = "\n".join(read(write(tmp_path, [ROW])).notes)
    for words in ("Platt fit", "e-aurc may be negative", "number of classes", "without failures", "left out: thresh"):
        assert words in notes


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("augrc", "500.1"),
        ("augrc", "-1.5"),
        ("aurc", "1001"),
        ("failauc", "91.2"),
        ("risk@100cov", "101"),
        ("accuracy", "93.2"),
        ("brier_score", "2.1"),
    ],
)
def test_values_out_of_their_range_are_named(tmp_path, column, value):
    path = write(tmp_path, [ROW, ROW | {"confid": "det_pe", column: value}])
    refused(path, f"{path}, line 3, column {column}: {value} is no ")


@pytest.mark.parametrize("value", ["", "nan", "NaN", "inf"])
def test_no_number_is_a_status(tmp_path, value):
    table = read(write(tmp_path, [ROW | {"nll": value}])).frame.set_index("column")
    assert table.loc["nll", "status"] == ("infinite" if value == "inf" else "missing")
    assert np.isnan(table.loc["nll", "value"])


def test_a_negative_ece_stands_for_none(tmp_path):
    table = read(write(tmp_path, [ROW | {"ece": "-1"}])).frame.set_index("column")
    assert table.loc["ece", "status"] == "missing"
    assert np.isnan(table.loc["ece", "value"])


def test_negative_excess_aurc_is_no_mistake(tmp_path):
    assert read(write(tmp_path, [ROW | {"e-aurc": "-28.4"}])).frame.set_index("column").loc["e-aurc", "value"] == -28.4


def test_a_folder_of_tables_and_resamples(tmp_path):
    write(tmp_path, [ROW | {"bootstrap_index": str(b)} for b in range(3)])
    write(tmp_path, [ROW | {"study": "noise_study_1", "bootstrap_index": "0"}], "analysis_metrics_noise.csv")
    found = read(tmp_path)
    assert found.frame.groupby("study")["bootstrap"].nunique().to_dict() == {"iid_study": 3, "noise_study_1": 1}
    assert found.key[-1] == "bootstrap"


@pytest.mark.parametrize("missing", ["study", "model", "confid"])
def test_a_header_without_ids(tmp_path, missing):
    path = write(tmp_path, [{name: value for name, value in ROW.items() if name != missing}])
    refused(path, f"{path} has no column '{missing}'; its first line must be the header.")


def test_a_table_of_something_else(tmp_path):
    refused(
        write(tmp_path, [{"study": "a", "model": "b", "confid": "c", "x": "1"}]), "no analysis of FD-Shifts", UsageError
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("study,model,confid,augrc\na,b,c\n", "line 2: 3 cells under 4 columns"),
        ("study,model,confid,augrc\na,b,c,high\n", "line 2, column augrc: 'high' is no number"),
        ("study,model,confid,augrc,augrc\na,b,c,1,1\n", "has two columns of one name"),
        ("study,model,confid,augrc\n\n\na,b,c,-3\n", "line 4, column augrc: -3 is no augrc"),
        ("study,model,confid,augrc,n_test\na,b,c,3,8.5\n", "column n_test: '8.5' is no whole number"),
        ("study,model,confid,augrc,n_test\na,b,c,3,many\n", "column n_test: 'many' is no number"),
    ],
)
def test_damaged_tables(tmp_path, text, sentence):
    (tmp_path / "analysis_metrics_x.csv").write_text(text)
    refused(tmp_path / "analysis_metrics_x.csv", sentence)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "analysis_metrics_x.csv").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path / "analysis_metrics_x.csv", "is not a valid CSV file")


def test_a_file_too_large_for_a_table(tmp_path):
    with (tmp_path / "analysis_metrics_x.csv").open("wb") as stream:
        stream.truncate(1 << 29)  # takes no room on the disk
    refused(tmp_path / "analysis_metrics_x.csv", "more than the 268435456 of such a table")


# inference folders --------------------------------------------------------------------------------


def test_samples_of_a_folder(tmp_path):
    truth = made()
    store(tmp_path, tables(truth))
    imported = read(tmp_path)
    table = imported.frame
    assert list(table.columns) == [
        *("dataset_idx", "sample", "label", "prediction", "head_confidence", "mc_head_confidence")
    ]
    order = np.argsort(truth["index"], kind="stable")
    np.testing.assert_array_equal(table["dataset_idx"], truth["index"][order])
    np.testing.assert_array_equal(table["label"], truth["labels"][order])
    np.testing.assert_array_equal(table["prediction"], truth["logits"][order].argmax(1))
    np.testing.assert_array_equal(table["head_confidence"], truth["head"][order])
    np.testing.assert_allclose(table["mc_head_confidence"], truth["mc_head"].mean(0)[order])
    assert not table.duplicated(list(imported.key)).any()


def test_logits_where_they_are_wanted(tmp_path):
    truth = made()
    store(tmp_path / "test_results", tables(truth), np.float16)
    table = read(tmp_path, logits="yes").frame
    order = np.argsort(truth["index"], kind="stable")
    np.testing.assert_array_equal(
        table[["logits_0", "logits_1", "logits_2"]], truth["logits"][order].astype(np.float16).astype(float)
    )


def test_tables_beside_outputs_are_mentioned(tmp_path):
    store(tmp_path, tables(made()))
    write(tmp_path, [ROW])
    assert read(tmp_path).notes == ("1 analysis tables lie beside the outputs; name them to import them",)


def test_folders_of_something_else(tmp_path):
    refused(tmp_path, "holds neither raw_logits.npz nor raw_output.npz nor a table", UsageError)
    refused(tmp_path / "nowhere", "is neither a folder of FD-Shifts nor a file", UsageError)
    refused(tmp_path / "results.pkl", "is a pickle", UsageError)


def test_damaged_outputs_keep_their_sentence(tmp_path):
    store(tmp_path, {"raw_logits.npz": np.full((5, 6), np.nan)})
    refused(tmp_path, "holds NaN or infinite values")


def test_the_reader_is_told_the_metrics(tmp_path):
    with pytest.raises(KeyError):
        read_fdshifts_results(write(tmp_path, [ROW]), {}, {})
