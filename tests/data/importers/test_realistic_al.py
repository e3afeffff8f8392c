"""realistic-al: the authors' table of areas, and what a campaign stores."""

import csv
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import bundled_folder
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import import_results

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
HEADER = "dataset,label_regime,training,query_method,aubc_mean,aubc_std\n"
ROW = "cifar10,active-cifar10_low,Standard Training,random,0.4720,0.0144\n"


def read(path):
    return import_results("realistic-al", path)


def refused(path, sentence, kind=IntegrityError):
    with pytest.raises(kind, match=re.escape(sentence)):
        read(path)


def write(folder, text, name="AUBC_tidy.csv"):
    (folder / name).write_text(text)
    return folder / name


# areas --------------------------------------------------------------------------------------------


def test_the_authors_table_is_the_one_beside_the_board():
    path = SHARED / "data" / "published" / "realistic-al" / "AUBC_tidy.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not here; HARNESS_SHARED names the folder that has data/published")
    table = read(path).frame
    assert len(table) == 186
    scored = table[table["status"] == "ok"]
    found = {
        (row.method, f"{row.dataset}-{row.regime}-{row.training}"): (
            row.value,
            None if math.isnan(row.std) else row.std,
        )
        for row in scored.itertuples(index=False)
    }
    board = bundled_folder("leaderboards") / "query-realistic-al" / "2" / "published.csv"
    rows = list(csv.DictReader(board.open()))
    assert found == {
        (row["method"], row["column"]): (float(row["value"]), float(row["std"]) if row["std"] else None) for row in rows
    }
    assert len(found) == 174


def test_no_area_is_a_status(tmp_path):
    table = read(write(tmp_path, HEADER + ROW + ROW.replace("random,0.4720,0.0144", "badge,,"))).frame
    assert table["status"].tolist() == ["ok", "missing"]
    assert np.isnan(table["value"].iloc[1])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEADER + ROW.replace("0.4720", "47.20"), "line 2, column aubc_mean: 47.2 is no aubc"),
        (HEADER + ROW.replace("0.0144", "-0.1"), "line 2, column aubc_std: -0.1 is no standard deviation"),
        (HEADER + ROW.replace("_low", "_lower"), "column label_regime: 'lower' is none of low, med, high"),
        (HEADER + ROW.replace("cifar10,", "cifar11,"), "line 2, column dataset: 'cifar11' is none of"),
        (HEADER + ROW + ROW, "holds two rows of one id: dataset cifar10, regime low"),
        (HEADER.replace("aubc_mean", "mean") + ROW, "is no table of realistic-al"),
    ],
)
def test_damaged_areas(tmp_path, text, sentence):
    refused(write(tmp_path, text), sentence)


# a campaign ---------------------------------------------------------------------------------------


def stored(folder, **changes):
    arrays = {
        "val_acc": np.array([0.3, 0.5, np.nan]),
        "test_acc": np.array([0.31, 0.52, 0.6]),
        "num_samples": np.array([50, 100, 150]),
        "added_labels": np.arange(100),
        "request_pool": np.arange(100),
    }
    np.savez(folder / "stored.npz", **(arrays | changes))
    return folder / "stored.npz"


def test_what_a_campaign_stores(tmp_path):
    table = read(stored(tmp_path)).frame.set_index(["metric", "loop"])
    assert table.loc["test_acc", "value"].tolist() == [0.31, 0.52, 0.6]
    assert table.loc["test_acc", "samples"].tolist() == [50, 100, 150]
    assert table.loc[("val_acc", 2), "status"] == "missing"


def test_damaged_campaigns(tmp_path):
    refused(stored(tmp_path, test_acc=np.array([0.3, 0.5])), "one for each loop")
    refused(stored(tmp_path, test_acc=np.array([31.0, 52.0, 60.0])), "test_acc[0]: 31 is no share")
    np.savez(tmp_path / "stored.npz", test_acc=np.array([0.3]))
    refused(tmp_path / "stored.npz", "a campaign stores num_samples and test_acc")


def test_pickled_requests_are_refused_with_a_way_out(tmp_path):
    pool = np.empty(2, dtype=object)
    pool[:] = [[1], [2, 3]]
    refused(stored(tmp_path, request_pool=pool), "request_pool is an array of Python objects, a pickle", UsageError)


def test_metrics_of_each_loop(tmp_path):
    table = read(write(tmp_path, ",test_acc,test_w_acc\n0,0.3,0.25\n1,0.5,\n", "test_metrics.csv")).frame
    assert table[["loop", "metric", "status"]].to_numpy().tolist() == [
        [0, "test_acc", "ok"],
        [0, "test_w_acc", "ok"],
        [1, "test_acc", "ok"],
        [1, "test_w_acc", "missing"],
    ]
    refused(write(tmp_path, ",test_acc\n0,1.2\n", "test_metrics.csv"), "line 2, column test_acc: 1.2 is no share")
    refused(write(tmp_path, ",test_acc\n0,0.2\n0,0.3\n", "test_metrics.csv"), "holds two rows of one id: loop 0")
    refused(write(tmp_path, ",test_acc\nzero,0.2\n", "test_metrics.csv"), "'zero' is no number")


def test_folders_and_pickles_are_a_mistake(tmp_path):
    refused(tmp_path, "is a folder; name AUBC_tidy.csv", UsageError)
    refused(tmp_path / "a.pkl", "is a pickle", UsageError)
    refused(tmp_path / "a.csv", "does not exist", UsageError)
