"""Folders in the FD-Shifts layout: read by set, refused where files do not belong together."""

import re

import numpy as np
import pytest
from scipy.special import softmax

from harness.data.fdshifts import read_fdshifts, stored_files
from harness.spec.errors import UsageError
from harness.storage import IntegrityError

COUNT, CLASSES, FEATURES, MEMBERS, TRAIN = 40, 3, 5, 4, 25


def made(seed=0):
    """Float64 truth: what each file of a complete folder is made from. Sets 0, 1 and 4 are interleaved."""
    rng = np.random.default_rng(seed)
    return {
        "logits": rng.normal(size=(COUNT, CLASSES)),
        "labels": rng.integers(CLASSES, size=COUNT),
        "index": rng.permutation(np.repeat([0, 1, 4], [10, 18, 12])),
        "features": rng.normal(size=(COUNT, FEATURES)),
        "mc_logits": rng.normal(size=(MEMBERS, COUNT, CLASSES)),
        "head": rng.uniform(size=COUNT),
        "mc_head": rng.uniform(size=(MEMBERS, COUNT)),
        "train_features": rng.normal(size=(TRAIN, FEATURES)),
        "train_labels": rng.integers(CLASSES, size=TRAIN),
        "weight": rng.normal(size=(CLASSES, FEATURES)),
        "bias": rng.normal(size=CLASSES),
    }


def tables(truth, kind="logits"):
    """File name -> array, as FD-Shifts lays them out: labels and set numbers are columns of floats."""
    values = truth["logits"] if kind == "logits" else softmax(truth["logits"], axis=1)
    members = truth["mc_logits"] if kind == "logits" else softmax(truth["mc_logits"], axis=2)
    return {
        f"raw_{kind}.npz": np.column_stack([values, truth["labels"], truth["index"]]),
        f"raw_{kind}_dist.npz": np.moveaxis(members, 0, 2),
        "external_confids.npz": truth["head"],
        "external_confids_dist.npz": truth["mc_head"].T,
        "encoded_output.npz": np.column_stack([truth["features"], truth["index"]]),
        "train_features.npz": np.column_stack([truth["train_features"], truth["train_labels"]]),
    }


def store(folder, files, dtype=np.float64, last_layer=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in files.items():
        np.savez_compressed(folder / name, np.asarray(array, dtype=dtype))
    if last_layer is not None:
        np.savez(folder / "last_layer.npz", **last_layer)
    return folder


@pytest.fixture
def truth():
    return made()


def last_layer(truth):
    return {"w": truth["weight"].astype(np.float32), "b": truth["bias"].astype(np.float32)}


# what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("inner", ["", "test_results"])
def test_a_complete_folder_is_split_by_set(tmp_path, truth, dtype, inner):
    store(tmp_path / inner, tables(truth), dtype, last_layer(truth))
    folder = read_fdshifts(tmp_path)
    assert sorted(folder.sets) == sorted(folder.labels) == [0, 1, 4]
    for index, arrays in folder.sets.items():
        rows = [i for i in range(COUNT) if truth["index"][i] == index]
        expected = {
            "logits": truth["logits"][rows],
            "features": truth["features"][rows],
            "mc_logits": truth["mc_logits"][:, rows],
            "head_confidence": truth["head"][rows],
            "mc_head_confidence": truth["mc_head"][:, rows],
        }
        assert arrays.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(arrays[name], array.astype(dtype), err_msg=name)
            assert arrays[name].flags.c_contiguous
            assert arrays[name].dtype.isnative, "torch takes no other"
        np.testing.assert_array_equal(folder.labels[index], truth["labels"][rows])
        assert folder.labels[index].dtype == np.int64


def test_training_features_and_last_layer(tmp_path, truth):
    folder = read_fdshifts(store(tmp_path, tables(truth), last_layer=last_layer(truth)))
    np.testing.assert_array_equal(folder.train["features"], truth["train_features"])
    np.testing.assert_array_equal(folder.train["labels"], truth["train_labels"])
    np.testing.assert_array_equal(folder.last_layer["weight"], truth["weight"].astype(np.float32))
    np.testing.assert_array_equal(folder.last_layer["bias"], truth["bias"].astype(np.float32))


def test_a_last_layer_in_half_precision_is_computed_with_in_single(tmp_path, truth):
    half = {name: array.astype(np.float16) for name, array in last_layer(truth).items()}
    folder = read_fdshifts(store(tmp_path, tables(truth), np.float16, {**half, "b": half["b"][:, None]}))
    assert folder.last_layer["weight"].dtype == np.float32
    assert folder.last_layer["bias"].shape == (CLASSES,)


def test_the_older_layout_has_soft_max_outputs(tmp_path, truth):
    folder = read_fdshifts(store(tmp_path, tables(truth, "output"), np.float16))
    for index in (0, 1, 4):
        rows = truth["index"] == index
        expected = softmax(truth["logits"][rows], axis=1)
        np.testing.assert_allclose(folder.sets[index]["probabilities"], expected, atol=1e-3)
        expected = softmax(truth["mc_logits"][:, rows], axis=2)
        np.testing.assert_allclose(folder.sets[index]["mc_probabilities"], expected, atol=1e-3)
        assert "logits" not in folder.sets[index]


def test_the_outputs_alone_are_enough(tmp_path, truth):
    folder = read_fdshifts(store(tmp_path, {"raw_logits.npz": tables(truth)["raw_logits.npz"]}))
    assert list(folder.sets[0]) == ["logits"]
    assert (folder.train, folder.last_layer) == (None, {})


def test_logits_win_where_both_are_stored(tmp_path, truth):
    """Two sources of one prediction could disagree by rounding."""
    store(tmp_path, tables(truth, "output"))
    store(tmp_path, tables(truth))
    arrays = read_fdshifts(tmp_path).sets[0]
    assert {"logits", "mc_logits"} <= arrays.keys()
    assert not {"probabilities", "mc_probabilities"} & arrays.keys()


def test_labels_of_unknown_classes_are_kept(tmp_path, truth):
    truth["labels"] = np.where(truth["index"] == 4, -99, truth["labels"])
    assert set(read_fdshifts(store(tmp_path, tables(truth), np.float16)).labels[4]) == {-99}


def test_the_files_that_count_are_listed_in_a_fixed_order(tmp_path, truth):
    store(tmp_path / "test_results", tables(truth), last_layer=last_layer(truth))
    (tmp_path / "test_results" / "attributions0.csv").write_text("not ours")
    names = [path.name for path in stored_files(tmp_path)]
    assert names == [
        "raw_logits.npz",
        "raw_logits_dist.npz",
        "external_confids.npz",
        "external_confids_dist.npz",
        "encoded_output.npz",
        "train_features.npz",
        "last_layer.npz",
    ]
    assert all(path.parent.name == "test_results" for path in stored_files(tmp_path))


# what is refused ----------------------------------------------------------------------------------


def refused(folder, sentence, kind=IntegrityError):
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        read_fdshifts(folder)
    assert str(folder) in str(raised.value)


def test_no_such_folder(tmp_path):
    refused(tmp_path / "nowhere", "does not exist; paths in a benchmark file are relative to that file.", UsageError)


def test_a_folder_without_outputs(tmp_path, truth):
    files = tables(truth)
    del files["raw_logits.npz"]
    refused(store(tmp_path, files), "has neither raw_logits.npz nor raw_output.npz", UsageError)


@pytest.mark.parametrize(
    "name", [name for name in tables(made()) if name not in ("raw_logits.npz", "train_features.npz")]
)
def test_a_file_with_another_number_of_samples(tmp_path, truth, name):
    files = tables(truth)
    files[name] = files[name][:-1]
    store(tmp_path, files)
    refused(tmp_path, f"{name} has {COUNT - 1} samples where the outputs have {COUNT}")


def test_features_in_another_order_than_the_outputs(tmp_path, truth):
    files = tables(truth)
    files["encoded_output.npz"] = files["encoded_output.npz"][np.argsort(truth["index"])]
    refused(store(tmp_path, files), "encoded_output.npz has other dataset_idx values than the outputs")


@pytest.mark.parametrize("name", [*tables(made())])
def test_a_wrong_key(tmp_path, truth, name):
    files = tables(truth)
    store(tmp_path, files)
    np.savez(tmp_path / name, data=files[name])
    refused(tmp_path, f"{name} has no array arr_0, only data")


def test_a_last_layer_with_wrong_keys(tmp_path, truth):
    store(tmp_path, tables(truth), last_layer={"weight": truth["weight"], "b": truth["bias"]})
    refused(tmp_path, "last_layer.npz must hold w and b, it holds b, weight")


@pytest.mark.parametrize("name", [*tables(made()), "last_layer.npz"])
def test_an_object_array_is_never_unpickled(tmp_path, truth, name):
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return marker.touch, ()

    store(tmp_path, tables(truth), last_layer=last_layer(truth))
    trap = np.array([[Trap()]], dtype=object)
    np.savez(tmp_path / name, **({"w": trap, "b": trap} if name == "last_layer.npz" else {"arr_0": trap}))
    refused(tmp_path, f"{name} was refused")
    assert not marker.exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [*tables(made())])
def test_values_that_are_not_finite(tmp_path, truth, name, bad):
    files = tables(truth)
    files[name].flat[0] = bad
    refused(store(tmp_path, files), f"{name} holds NaN or infinite values")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"raw_logits.npz": np.zeros(40)}, "raw_logits.npz has shape (40,), expected 2 dimensions"),
        ({"raw_logits.npz": np.zeros((40, 3))}, "raw_logits.npz has shape (40, 3), expected (N, classes + 2)"),
        ({"raw_logits.npz": np.full((40, 5), 0.5)}, "the column dataset_idx holds values that are not integers"),
        ({"raw_logits_dist.npz": np.zeros((40, 3))}, "raw_logits_dist.npz has shape (40, 3), expected 3 dimensions"),
        ({"raw_logits_dist.npz": np.zeros((40, 2, 4))}, "raw_logits_dist.npz has 2 classes where the outputs have 3"),
        ({"encoded_output.npz": np.zeros(40)}, "encoded_output.npz has shape (40,), expected 2 dimensions"),
        (
            {"train_features.npz": np.zeros((9, 8))},
            "numbers of features disagree: encoded_output.npz 5, train_features.npz 7",
        ),
        ({"train_features.npz": np.full((9, 6), 0.5)}, "the column label holds values that are not integers"),
    ],
)
def test_shapes_and_columns_that_cannot_be(tmp_path, truth, change, sentence):
    refused(store(tmp_path, tables(truth) | change), sentence)


def test_text_instead_of_numbers(tmp_path, truth):
    store(tmp_path, tables(truth))
    np.savez(tmp_path / "external_confids.npz", np.array(["high"] * COUNT))
    refused(tmp_path, "external_confids.npz holds <U4, not numbers")


def test_a_last_layer_of_another_network(tmp_path, truth):
    wide = {"w": np.zeros((CLASSES + 2, FEATURES)), "b": np.zeros(CLASSES + 2)}
    store(tmp_path, tables(truth), last_layer=wide)
    refused(tmp_path, "last_layer.npz has 5 classes where the outputs have 3")


def test_a_reservation_output_stands_by_itself(tmp_path, truth):
    rows = np.arange((CLASSES + 1) * FEATURES, dtype=np.float64).reshape(CLASSES + 1, FEATURES)
    store(tmp_path, tables(truth), last_layer={"w": rows, "b": np.arange(CLASSES + 1.0)})
    layer = read_fdshifts(tmp_path).last_layer
    np.testing.assert_array_equal(layer["weight"], rows[:CLASSES])
    np.testing.assert_array_equal(layer["bias"], np.arange(CLASSES))
    np.testing.assert_array_equal(layer["reservation_weight"], rows[CLASSES:])
    np.testing.assert_array_equal(layer["reservation_bias"], [CLASSES])


def test_a_bias_of_another_length_than_the_weight(tmp_path, truth):
    store(tmp_path, tables(truth), last_layer={"w": np.zeros((CLASSES + 1, FEATURES)), "b": np.zeros(CLASSES)})
    refused(tmp_path, "last_layer.npz has 4 classes where the outputs have 3")


def test_logits_that_call_themselves_soft_max(tmp_path, truth):
    store(tmp_path, {"raw_output.npz": tables(truth)["raw_logits.npz"]})
    refused(tmp_path, "raw_output.npz holds no probabilities: rows are negative or do not sum to 1")


def test_a_damaged_file(tmp_path, truth):
    store(tmp_path, tables(truth))
    path = tmp_path / "raw_logits.npz"
    path.write_bytes(path.read_bytes()[:-30])
    refused(tmp_path, "raw_logits.npz")
