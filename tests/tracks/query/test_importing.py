"""nnActive's released results as long tables."""

import json
import os
import re
from pathlib import Path

import pytest

from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import import_results
from tests.tracks.query.test_published import CURVES, summary, write_analysis, write_run

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
FULL = {  # mean Dice of nnActive's trainings on all labels, as its authors print them
    ("Dataset004_Hippocampus", "nnUNetTrainer"): 0.89502,
    ("Dataset027_ACDC", "nnUNetTrainer_200epochs"): 0.91030,
    ("Dataset135_KiTS2021", "nnUNetTrainer_500epochs"): 0.75070,
    ("Dataset216_AMOS2022_task1", "nnUNetTrainer_1000epochs"): 0.89313,
    ("Dataset654_word", "nnUNetTrainer_200epochs"): 0.80677,
}


def read(path, **options):
    return import_results("nnactive", path, options)


def refused(path, sentence, kind=IntegrityError):
    with pytest.raises(kind, match=re.escape(sentence)):
        read(path)


@pytest.fixture
def results(tmp_path):
    for (method, seed), curve in CURVES.items():
        write_run(tmp_path / "results", method, seed, [summary(dice) for dice in curve])
    return tmp_path / "results"


def test_curves(results):
    imported = read(results)
    table = imported.frame.set_index(["method", "seed", "loop"])
    for (method, seed), curve in CURVES.items():
        assert table.loc[(method, seed), "value"].tolist() == pytest.approx(curve, abs=1e-12)
    assert set(table["status"]) == {"ok"}
    assert imported.notes == ()


def test_a_pickle_beside_is_left_alone_and_said_so(results):
    (results / "analysis.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert read(results).notes == ("1 pickles (analysis.pkl) were left unopened: a pickle can run any code",)
    refused(results / "analysis.pkl", "is a pickle, which can run any code", UsageError)


def test_a_dice_of_no_kind(results):
    write_run(results, "wrong", 1, [summary(1.2)])
    refused(results, "wrong, 1, 0: 1.2 is no mean_dice, which lies between 0 and 1")


def test_the_authors_analysis(tmp_path):
    write_analysis(tmp_path / "a", {"b": 0.5, "a": 0.4}, {"a": {"a": 0, "b": 0.2}, "b": {"a": 0.6, "b": 0}})
    areas = read(tmp_path / "a" / "auc.json").frame.set_index(["method", "statistic"])
    assert areas.loc[("a", "mean"), "value"] == 0.4
    assert areas.loc[("a", "std"), "status"] == "missing"
    penalties = read(tmp_path / "a" / "ppm.json").frame.set_index(["method", "rival"])["value"]
    assert penalties.to_dict() == {("a", "b"): 0.2, ("b", "a"): 0.6}
    refused(tmp_path / "a", "holds an analysis in several tables; name its auc.json, beta.json or ppm.json", UsageError)


def test_a_penalty_of_more_than_all_budgets(tmp_path):
    write_analysis(tmp_path / "a", {"b": 0.5}, {"a": {"a": 0, "b": 20}, "b": {"a": 0, "b": 0}})
    refused(tmp_path / "a" / "ppm.json", "a, b: 20 is no share of the budgets")


def test_foreground_efficiency(tmp_path):
    beta = {"Query Method": {"0": "random"}, "beta": {"0": 3.0}, "beta_std": {"0": 0.1}}
    (tmp_path / "beta.json").write_text(json.dumps(beta))
    table = read(tmp_path / "beta.json").frame
    assert table[["method", "value", "variance"]].to_numpy().tolist() == [["random", 3.0, 0.1]]


def test_patches_of_loop_files(tmp_path):
    patches = [
        {"file": "a.nii.gz", "coords": [1, 2, 3], "size": [4, 5, 6]},
        {"file": "b.nii.gz", "coords": [0, 0, 0], "size": "whole"},
    ]
    (tmp_path / "loop_000.json").write_text(json.dumps({"patches": patches}))
    (tmp_path / "loop_001.json").write_text(json.dumps({"patches": patches[:1]}))
    assert read(tmp_path).frame.to_numpy().tolist() == [
        [0, 0, "a", "1,2,3", "4,5,6"],
        [0, 1, "b", "0,0,0", "whole"],
        [1, 0, "a", "1,2,3", "4,5,6"],
    ]
    (tmp_path / "loop_001.json").write_text("{}")
    refused(tmp_path, "is no loop file")


def test_performance_on_all_labels():
    folder = SHARED / "data" / "published" / "nnactive_full_data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; HARNESS_SHARED names the folder that has data/published")
    table = read(folder).frame
    assert len(table) == 24
    values = table.set_index(["dataset", "trainer"])["value"]
    for key, value in FULL.items():
        assert values[key] == pytest.approx(value, abs=5e-6)


def test_folders_and_files_of_something_else(tmp_path):
    refused(tmp_path, "holds no experiment of nnActive", UsageError)
    refused(tmp_path / "nowhere", "does not exist", UsageError)
    (tmp_path / "state.json").write_text("{}")
    refused(tmp_path / "state.json", "is none of auc.json, beta.json, ppm.json", UsageError)
