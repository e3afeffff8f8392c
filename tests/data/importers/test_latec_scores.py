"""LATEC's score arrays, which hold no names: read in a named order, and only where every value fits it."""

import re

import numpy as np
import pytest

from harness.data.importers.base import Measure
from harness.data.importers.latec_scores import read_latec_scores
from harness.metrics.attribution.registry import ORDERS
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import latec_orders
from tests.data.importers.latec_files import CONFIG, METHODS, PUBLISHED, score_arrays

FILES = {
    "imagenet": ("imagenet", "image"),
    "oct": ("oct", "image"),
    "resisc45": ("resisc45", "image"),
    "adrenalmnist3d": ("adrenal", "volume"),
    "organmnist3d": ("organ", "volume"),
    "vesselmnist3d": ("vessel", "volume"),
    "coma": ("coma", "point-cloud"),
    "modelnet40": ("modelnet40", "point-cloud"),
    "shapenet": ("shapenet", "point-cloud"),
}


def read(path, order="published", **options):
    return read_latec_scores(path, latec_orders(), {"order": order, **options})


def stored(folder, arrays, name="eval_scores_imagenet.npz"):
    np.savez_compressed(folder / name, *arrays)
    return folder / name


def refused(path, sentence, kind=IntegrityError, **options):
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        read(path, **options)
    assert str(path) in str(raised.value)


def test_the_orders_are_those_of_the_release():
    assert ORDERS["published"] == PUBLISHED
    assert ORDERS["config"] == CONFIG


@pytest.mark.parametrize("name", FILES)
def test_every_number_is_found_again_by_its_ids(tmp_path, name):
    dataset, modality = FILES[name]
    arrays = score_arrays(modality)
    table = read(stored(tmp_path, arrays, f"eval_scores_{name}.npz")).frame
    assert len(table) == sum(methods * 20 * 5 for methods in METHODS[modality])
    assert set(table["dataset"]) == {dataset}
    assert set(table["modality"]) == {modality}
    by_ids = table.set_index(["model", "method", "observation", "metric"])["value"]
    for model, array in zip(table["model"].unique(), arrays, strict=True):
        methods = table.loc[table["model"] == model, "method"].unique()
        for m, method in enumerate(methods):
            for k, metric in enumerate(PUBLISHED):
                found = by_ids.loc[model, method, :, metric].to_numpy()
                np.testing.assert_array_equal(found, array[m, k])


def test_methods_and_networks_have_the_names_of_the_benchmark(tmp_path):
    from harness.data.catalog import find_protocol

    benchmark = find_protocol("attribution-latec@3").benchmark
    models = {model.id for model in benchmark.source.models}
    for name, (_, modality) in FILES.items():
        table = read(stored(tmp_path, score_arrays(modality, observations=1), f"{name}.npz")).frame
        assert set(table["model"]) <= models
        assert set(table["method"]) <= set(benchmark.reference)
        last = table["model"].unique()[-1]
        attention = table.loc[table["method"].str.contains("attention"), "model"]
        assert set(attention) == {last}, "the transformer comes last"
        cams = table["method"].str.contains("cam|plus-plus").any()
        assert cams == (modality != "point-cloud")


def test_the_order_must_be_named(tmp_path):
    path = stored(tmp_path, score_arrays())
    for options in ({}, {"order": "paper"}):
        with pytest.raises(UsageError, match="there are two orders; name one: --order published"):
            read_latec_scores(path, latec_orders(), options)


@pytest.mark.parametrize(("held", "claimed"), [(PUBLISHED, "config"), (CONFIG, "published")])
def test_a_wrong_order_is_found_out_by_ranges(tmp_path, held, claimed):
    other = {"config": "published", "published": "config"}[claimed]
    path = stored(tmp_path, score_arrays(order=held))
    refused(path, f"all values fit --order {other}.", order=claimed)
    assert not [note for note in read(path, other).notes if "unproven" in note]


def test_an_order_that_the_values_cannot_tell_is_said_to_be_unproven(tmp_path):
    arrays = [np.full_like(array, 0.5) for array in score_arrays()]
    assert any("do not tell 'published' and 'config' apart" in note for note in read(stored(tmp_path, arrays)).notes)


@pytest.mark.parametrize(
    ("metric", "value"),
    [("insertion", 1.2), ("sparseness", -0.1), ("road", 50), ("complexity", -1), ("faithfulness_estimate", -1.1)],
)
def test_a_value_that_its_metric_cannot_have_is_named(tmp_path, metric, value):
    arrays = score_arrays()
    arrays[1][3, PUBLISHED.index(metric), 2] = value
    refused(
        stored(tmp_path, arrays), f"arr_1[3, {PUBLISHED.index(metric)}, 2] (saliency) is {value:g}, but {metric} lies"
    )


@pytest.mark.parametrize(("value", "status"), [(np.nan, "missing"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_no_number_is_a_status(tmp_path, value, status):
    arrays = score_arrays()
    arrays[0][0, 13, 4] = value
    table = read(stored(tmp_path, arrays)).frame
    odd = table[table["status"] != "ok"]
    assert odd[["metric", "observation", "status"]].to_numpy().tolist() == [["relative_input_stability", 4, status]]
    assert odd["value"].isna().all()
    assert np.isfinite(table.loc[table["status"] == "ok", "value"]).all()


def test_pickled_arrays_are_refused_with_a_way_out(tmp_path):
    objects = np.empty(3, dtype=object)
    objects[:] = score_arrays()
    np.savez(tmp_path / "eval_scores_oct.npz", objects, *score_arrays()[:2])
    refused(tmp_path / "eval_scores_oct.npz", "a pickle, which can run any code. Convert it once", UsageError)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:2],
        lambda a: [*a, a[0]],
        lambda a: [a[2], a[0], a[1]],
        lambda a: [a[0], a[1], a[2][:14]],
        lambda a: [a[0][:, :19], *a[1:]],
        lambda a: [a[0][..., 0], *a[1:]],
        lambda a: [a[0][..., :0], *a[1:]],
        lambda a: [a[0].astype(str), *a[1:]],
        lambda a: score_arrays("point-cloud"),
    ],
)
def test_arrays_of_another_shape_are_refused(tmp_path, change):
    with pytest.raises(IntegrityError, match="arr_"):
        read(stored(tmp_path, change(score_arrays())))


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>", b"PK\x03\x04 but no more"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "eval_scores_oct.npz").write_bytes(content)
    refused(tmp_path / "eval_scores_oct.npz", "is not a valid .npz file")


def test_a_truncated_file_is_refused(tmp_path):
    path = stored(tmp_path, score_arrays())
    path.write_bytes(path.read_bytes()[:-400])
    refused(path, "is not a valid .npz file")


def test_a_data_set_must_be_named_where_the_file_does_not(tmp_path):
    path = stored(tmp_path, score_arrays("volume"), "scores.npz")
    refused(path, "its name says none; give --dataset, one of imagenet,", UsageError)
    refused(path, "its name gives 'organs'; give --dataset", UsageError, dataset="organs")
    assert set(read(path, dataset="organ").frame["modality"]) == {"volume"}


def test_a_missing_file_and_a_pickle_by_name(tmp_path):
    refused(tmp_path / "oct.npz", "does not exist", UsageError)
    (tmp_path / "oct.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(tmp_path / "oct.pkl", "is a pickle, which can run any code", UsageError)


def test_ranges_are_given_by_the_caller(tmp_path):
    """The file's reader knows no metric of its own."""
    orders = {"published": [Measure(name, "higher", (-1e9, 0.1)) for name in PUBLISHED]}
    with pytest.raises(IntegrityError, match="faithfulness_correlation lies between -1e"):
        read_latec_scores(stored(tmp_path, score_arrays()), orders, {"order": "published"})
