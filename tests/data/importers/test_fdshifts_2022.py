"""Tables of FD-Shifts' results of 2022: one for each data set and kind of network, in two layouts, with their oddities.

What is imported is held against the few steps of the authors' loader in pandas: the first row of each network, study and
score counts, rows without a network do not, and settings of trainings stand in the names of networks.
"""

import csv

import numpy as np
import pandas as pd
import pytest

from harness.storage import IntegrityError
from harness.tracks.importers import import_results

IDS = ("name", "study", "model", "network", "fold", "confid")
METRICS = {
    "n_test": 1000,
    "accuracy": 0.9,
    "nll": 0.03,
    "brier_score": 0.1,
    "failauc": 0.93,
    "failap_suc": 0.99,
    "failap_err": 0.4,
    "fail-NLL": 0.15,
    "mce": 0.3,
    "ece": 0.03,
    "e-aurc": 4.3,
    "aurc": 6.2,
    "fpr@95tpr": 0.4,
    "risk@100cov": 6.1,
    "risk@75cov": 0.5,
    "test_risk": 0.06,
    "test_cov": 0.998,
    "diff_risk": -0.19,
    "diff_cov": -0.001,
    "rstar": 0.25,
    "val_theta": 0.29,
}
CNN = ("", "Unnamed: 0", *IDS, *METRICS)
SETTINGS = ("date", "old_name", "lr", "do", "run", "rew", "bb", "select_lr", "select_rew")
VIT = ("", "index", *CNN[1:], *SETTINGS)


def cnn(run, dropout=0, reward="2.2", study="iid_study", confid="det_mcp", **changes):
    """A row of the tables of convolutional networks, whose settings stand in the name alone."""
    name = f"dg_bbsvhn_small_conv_do{dropout}_run{run}_rew{reward}"
    ids = (name, study, "devries_model", "svhn_small_conv", 0, confid)
    return dict(zip(IDS, ids, strict=True)) | METRICS | {"Unnamed: 0": 0, "aurc": 6 + run, **changes}


def vit(run, dropout=1, rate="0.01", study="iid_study", confid="det_mcp", **changes):
    """A row of the tables of transformers: settings have columns, too, and the backbone has none."""
    name = f"vit_lr{rate}_do{dropout}_rew0_bbvit_run{run}"
    row = dict(zip(IDS, (name, study, "vit", "", 0, confid), strict=True)) | METRICS
    settings = ("2022-01-20", f"breeds_lr{rate}_run{run}_do{dropout}", rate, dropout, run, 0, "vit", 1, 1)
    return row | dict(zip(SETTINGS, settings, strict=True)) | {"aurc": 10 + run, **changes}


def write(folder, rows, name="svhn.csv", header=CNN):
    with (folder / name).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="")
        writer.writeheader()
        writer.writerows({"": number, **row} for number, row in enumerate(rows))
    return folder / name


def read(path):
    return import_results("fd-shifts", path)


def loaded(path):
    """As the authors' loader has it."""
    rows = pd.read_csv(path).dropna(subset=["name", "model"])
    return rows.drop_duplicates(subset=["name", "study", "model", "network", "confid"])


def note(imported, words):
    return next((each for each in imported.notes if words in each), "")


# duplicates ---------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    """Rows of which some are there again, as they were or with other values, and some belong to no network."""
    rng = np.random.default_rng(0)
    rows = [
        cnn(run, dropout, study=study, aurc=round(rng.uniform(1, 99), 5))
        for run in (1, 2, 3)
        for dropout in (0, 1)
        for study in ("val_tuning", "iid_study", "new_class_study_cifar10_proposed_mode")
    ]
    again = [rows[3], rows[3], rows[7] | {"aurc": 77.7, "fold": 1}, rows[0] | {"": 9, "rstar": 0.5}]
    return write(tmp_path, [*rows, *again, cnn(9, name=""), cnn(9, model="")])


def test_the_first_of_each_row_counts_as_in_the_authors_loader(odd):
    expected = loaded(odd)
    assert len(expected) == 18
    assert len(pd.read_csv(odd)) == 24
    imported = read(odd)
    found = imported.frame.pivot(index=["name", "study"], columns="column", values="value")
    for column in ("aurc", "failauc", "risk@75cov"):
        wanted = expected.set_index(["name", "study"])[column]
        pd.testing.assert_series_equal(found[column], wanted.sort_index(), check_names=False)
    assert not imported.frame.duplicated(list(imported.key)).any()


def test_what_is_left_out_is_counted_and_contradictions_are_said(odd):
    imported = read(odd)
    assert note(imported, "duplicate") == (
        "4 duplicate rows left out, as FD-Shifts' loader does: the first of each experiment, name, study, model, network "
        "and confid stays; 1 of them have other values than the first"
    )
    assert note(imported, "without a name") == "2 rows without a name or a model left out, as FD-Shifts' loader does"


def test_nothing_is_said_of_a_table_without_oddities(tmp_path):
    imported = read(write(tmp_path, [cnn(1), cnn(2)]))
    for words in ("duplicate", "without a name", "-1"):
        assert not note(imported, words)


def test_one_network_in_two_tables_is_no_duplicate_unless_they_are_of_one_experiment(tmp_path):
    for name in ("svhn.csv", "svhn_openset.csv"):
        write(tmp_path, [cnn(1)], name)
    imported = read(tmp_path)
    assert set(imported.frame["experiment"]) == {"svhn", "svhn_openset"}
    assert not note(imported, "duplicate")


def test_resamples_of_one_row_are_no_duplicates(tmp_path):
    rows = [cnn(1, bootstrap_index=number) for number in (0, 1, 1)]
    imported = read(write(tmp_path, rows, header=(*CNN, "bootstrap_index")))
    assert sorted(set(imported.frame["bootstrap"])) == [0, 1]
    assert note(imported, "duplicate").startswith("1 duplicate rows left out")


# missing values -----------------------------------------------------------------------------------


def test_minus_one_is_no_value(tmp_path):
    row = cnn(1, **{"fpr@95tpr": -1, "failauc": "-1.0", "ece": -1, "e-aurc": -1})
    imported = read(write(tmp_path, [row, cnn(2)]))
    frame = imported.frame[imported.frame["run"] == 1].set_index("column")
    for column in ("fpr@95tpr", "failauc", "ece"):
        assert frame.loc[column, "status"] == "missing"
        assert np.isnan(frame.loc[column, "value"])
    assert frame.loc["e-aurc", "value"] == -1, "an excess may be negative"
    assert note(imported, "-1") == "3 values of -1 stand for none and are missing"


def test_new_class_studies_have_no_likelihood(tmp_path):
    row = cnn(1, study="new_class_study_cifar10_proposed_mode", nll="", brier_score="")
    frame = read(write(tmp_path, [row])).frame.set_index("column")
    assert frame.loc[["nll", "brier_score"], "status"].tolist() == ["missing", "missing"]


def test_another_negative_number_is_still_refused(tmp_path):
    path = write(tmp_path, [cnn(1, **{"fpr@95tpr": -2})])
    with pytest.raises(IntegrityError, match=r"svhn.csv, line 2, column fpr@95tpr: -2 is no fpr_at_tpr"):
        read(path)


# settings -----------------------------------------------------------------------------------------


def first(imported, *columns):
    return [imported.frame.iloc[0][column] for column in columns]


def test_settings_of_convolutional_networks_stand_in_their_names(tmp_path):
    imported = read(write(tmp_path, [cnn(4, dropout=1, reward="10")]))
    assert first(imported, "experiment", "fold", "run", "dropout", "reward") == ["svhn", "0", 4, 1, 10.0]
    assert pd.isna(first(imported, "learning_rate")[0])


def test_settings_of_transformers(tmp_path):
    imported = read(write(tmp_path, [vit(3, rate="0.0003")], "breedsvit.csv", VIT))
    found = first(imported, "experiment", "network", "fold", "run", "dropout", "reward", "learning_rate")
    assert found == ["breedsvit", "", "0", 3, 1, 0.0, 0.0003]
    left_out = note(imported, "columns left out")
    assert "select_lr" in left_out
    for name in ("index", "Unnamed", " lr,", " run,"):
        assert name not in left_out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10_paper_sweep/confidnet_bbvgg13_do1_run1_rew2.2", (1, 1, 2.2, None)),
        ("fd-shifts/vit/svhn_modelvit_bbvit_lr0.03_bs128_run0_do1_rew0", (0, 1, 0.0, 0.03)),
        ("vit_lr3e-4_do0_rew4.5_bbvit_run12", (12, 0, 4.5, 3e-4)),
        ("rerun2_of_do1t", (None, None, None, None)),
    ],
)
def test_settings_in_names(tmp_path, name, expected):
    found = first(read(write(tmp_path, [cnn(1, name=name)])), "run", "dropout", "reward", "learning_rate")
    assert [None if pd.isna(each) else each for each in found] == list(expected)


def test_columns_of_settings_speak_where_names_do_not(tmp_path):
    row = vit(3) | {"name": "network", "run": "7.0", "do": "", "rew": "2.2", "lr": "1e-3"}
    found = first(read(write(tmp_path, [row], header=VIT)), "run", "reward", "learning_rate", "dropout")
    assert found[:3] == [7, 2.2, 1e-3]
    assert pd.isna(found[3])


def test_a_setting_that_is_no_number(tmp_path):
    path = write(tmp_path, [vit(3) | {"name": "network", "run": "third"}], header=VIT)
    with pytest.raises(IntegrityError, match="line 2, column run: 'third' is no number"):
        read(path)


def test_means_over_runs_of_a_chosen_setting_are_those_of_the_authors_steps(tmp_path):
    """As their tables come about: for each score the dropout with the lowest mean AURC on validation, then the mean."""
    rng = np.random.default_rng(3)
    rows = [
        cnn(run, dropout, study=study, confid=confid, aurc=round(rng.uniform(1, 9), 5))
        for run in (1, 2, 3, 4, 5)
        for dropout in (0, 1)
        for study in ("val_tuning", "iid_study")
        for confid in ("det_mcp", "det_pe")
    ]
    path = write(tmp_path, [*rows, *(row | {"aurc": 99} for row in rows[:7])])
    theirs = loaded(path).assign(do=lambda data: data.name.str.extract(r"do([01])")[0].astype(int))
    ours = read(path).frame.query("metric == 'legacy_aurc'").rename(columns={"dropout": "do", "value": "aurc"})
    means = [data.groupby(["study", "confid", "do"])["aurc"].mean() for data in (theirs, ours)]
    chosen = [mean["val_tuning"].unstack().idxmin(axis=1) for mean in means]
    assert chosen[0].tolist() == chosen[1].tolist()
    for confid, dropout in chosen[0].items():
        assert means[1]["iid_study", confid, dropout] == pytest.approx(
            means[0]["iid_study", confid, dropout], rel=1e-12
        )


# the older area -----------------------------------------------------------------------------------


def test_the_aurc_of_tables_without_augrc_has_a_name_of_its_own(tmp_path):
    old = read(write(tmp_path, [cnn(1)]))
    names = old.frame.set_index("column")["metric"]
    assert names[["aurc", "e-aurc", "failauc"]].tolist() == ["legacy_aurc", "legacy_excess_aurc", "failure_auroc"]
    assert "without the segment up to coverage 0" in note(old, "legacy_aurc")
    new = read(write(tmp_path, [cnn(1, augrc=5.7)], header=(*CNN, "augrc")))
    names = new.frame.set_index("column")["metric"]
    assert names[["aurc", "e-aurc", "augrc"]].tolist() == ["aurc", "excess_aurc", "augrc"]
    assert not note(new, "legacy_aurc")


def test_an_old_and_a_new_table_in_one_folder_keep_their_names(tmp_path):
    write(tmp_path, [cnn(1)], "svhn.csv")
    write(tmp_path, [cnn(1, augrc=5.7)], "breeds.csv", (*CNN, "augrc"))
    frame = read(tmp_path).frame.query("column == 'aurc'").set_index("experiment")
    assert frame["metric"].to_dict() == {"svhn": "legacy_aurc", "breeds": "aurc"}


def test_the_range_of_the_older_area_is_still_looked_at(tmp_path):
    path = write(tmp_path, [cnn(1, aurc=1001)])
    with pytest.raises(IntegrityError, match="line 2, column aurc: 1001 is no legacy_aurc"):
        read(path)
