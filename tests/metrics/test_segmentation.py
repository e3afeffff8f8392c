from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.segmentation import (
    accuracy,
    balanced_accuracy,
    class_dice,
    dice,
    mean_dice,
    segmentation_counts,
    segmentation_summary,
)

CLASSES = 4
IGNORE = 4


@st.composite
def label_maps(draw, ignore=False):
    """Pairs of (prediction, reference) with few classes each, so that some are absent."""
    present = draw(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=3))
    voxels = draw(st.integers(1, 12))
    labels = st.lists(st.sampled_from(present), min_size=voxels, max_size=voxels)
    truth = st.lists(st.sampled_from([*present, IGNORE] if ignore else present), min_size=voxels, max_size=voxels)
    return draw(labels), draw(truth)


def sets(prediction, reference, label):
    counted = {i for i, true in enumerate(reference) if true != IGNORE}
    predicted = {i for i in counted if prediction[i] == label}
    true = {i for i in counted if reference[i] == label}
    return predicted, true, counted


@given(label_maps(ignore=True))
def test_counts_and_dice_equal_their_definition(pair):
    counts = segmentation_counts(*pair, CLASSES, ignore=IGNORE)
    values = dice(counts)
    for label in range(CLASSES):
        predicted, true, every = sets(*pair, label)
        tp, fp, fn = len(predicted & true), len(predicted - true), len(true - predicted)
        assert counts[label].tolist() == [tp, fp, fn, len(every - predicted - true)]
        if predicted or true:
            assert values[label] == 2 * tp / (len(predicted) + len(true))
        else:
            assert math.isnan(values[label])


@given(label_maps())
def test_dice_is_symmetric_and_one_for_equal_maps(pair):
    there, back = (segmentation_counts(*maps, CLASSES) for maps in (pair, pair[::-1]))
    np.testing.assert_array_equal(dice(there), dice(back))
    same = dice(segmentation_counts(pair[0], pair[0], CLASSES))
    assert all(value == 1 for value in same[~np.isnan(same)])
    assert (~np.isnan(same)).sum() == len(set(pair[0]))


@given(label_maps())
def test_shape_of_the_maps_is_irrelevant(pair):
    flat = segmentation_counts(*pair, CLASSES)
    volume = [np.array(labels, dtype=np.uint8).reshape(1, -1, 1) for labels in pair]
    np.testing.assert_array_equal(segmentation_counts(*volume, CLASSES), flat)


def two_cases():
    """Class 1: Dice 2/3 and 1. Class 2: absent from the first case, missed in the second. Class 3: in neither."""
    first = segmentation_counts([0, 1, 1, 0], [0, 1, 0, 0], CLASSES)
    second = segmentation_counts([1, 0, 0, 0], [1, 2, 0, 0], CLASSES)
    return np.stack([first, second])


def test_mean_over_cases_then_over_classes():
    counts = two_cases()
    np.testing.assert_allclose(class_dice(counts), [(4 / 5 + 4 / 5) / 2, 5 / 6, 0, np.nan], rtol=1e-15)
    assert mean_dice(counts[:, :3]) == pytest.approx((5 / 6 + 0) / 2, abs=1e-15)
    assert math.isnan(mean_dice(counts))  # as in nnU-Net: a class that never occurs is not left out silently


def test_true_negatives_are_not_needed():
    counts = two_cases()
    np.testing.assert_array_equal(dice(counts[..., :3]), dice(counts))
    assert mean_dice(counts[:, :3, :3]) == mean_dice(counts[:, :3])


@given(st.lists(label_maps(), min_size=1, max_size=4))
def test_summary_equals_means_of_the_cases(pairs):
    counts = np.stack([segmentation_counts(*pair, CLASSES) for pair in pairs])
    files = [(f"out/{k}.nii.gz", f"ref/{k}.nii.gz") for k in range(len(pairs))]
    summary = segmentation_summary(counts, files)
    assert set(summary) == {"foreground_mean", "mean", "metric_per_case"}
    assert set(summary["mean"]) == {"1", "2", "3"}
    assert [(c["prediction_file"], c["reference_file"]) for c in summary["metric_per_case"]] == files
    for label in (1, 2, 3):
        cells = [case["metrics"][str(label)] for case in summary["metric_per_case"]]
        for cell, pair in zip(cells, pairs, strict=True):
            predicted, true, every = sets(*pair, label)
            tp, fp, fn = len(predicted & true), len(predicted - true), len(true - predicted)
            assert (cell["TP"], cell["FP"], cell["FN"]) == (tp, fp, fn)
            assert (cell["n_pred"], cell["n_ref"]) == (len(predicted), len(true))
            assert cell["TN"] == len(every) - tp - fp - fn
            iou = tp / (tp + fp + fn) if predicted | true else math.nan
            assert cell["IoU"] == pytest.approx(iou, nan_ok=True)
            assert cell["Dice"] == pytest.approx(2 * iou / (1 + iou), nan_ok=True)
            assert {type(cell[name]) for name in ("TP", "FP", "FN", "TN", "n_pred", "n_ref")} == {int}
        for name, value in summary["mean"][str(label)].items():
            defined = [cell[name] for cell in cells if not math.isnan(cell[name])]
            expected = sum(defined) / len(defined) if defined else math.nan
            assert value == pytest.approx(expected, nan_ok=True)
    for name, value in summary["foreground_mean"].items():
        expected = sum(summary["mean"][label][name] for label in "123") / 3
        assert value == pytest.approx(expected, nan_ok=True)
    assert summary["foreground_mean"]["Dice"] == pytest.approx(mean_dice(counts), nan_ok=True)


def test_summary_has_the_entries_of_nnu_net():
    names = {"Dice", "IoU", "FP", "TP", "FN", "TN", "n_pred", "n_ref"}
    summary = segmentation_summary(two_cases())
    assert set(summary["foreground_mean"]) == names
    assert all(set(of) == names for of in summary["mean"].values())
    assert all(set(of) == names for case in summary["metric_per_case"] for of in case["metrics"].values())


@pytest.mark.parametrize(
    ("prediction", "reference", "options", "cause"),
    [
        ([0, 4], [0, 1], {}, "prediction holds the label 4"),
        ([0, 1], [0, -1], {}, "reference holds the label -1"),
        ([0, 4], [4, 1], {"ignore": 4}, "prediction holds the label 4"),
        ([0, 1], [0, 1, 1], {}, "prediction has shape"),
        ([0.0, 1.0], [0, 1], {}, "prediction must be integer labels"),
        ([], [], {}, "empty"),
    ],
)
def test_bad_label_maps(prediction, reference, options, cause):
    with pytest.raises(ValueError, match=cause):
        segmentation_counts(np.array(prediction), np.array(reference), CLASSES, **options) if prediction else (
            segmentation_counts(np.zeros(0, int), np.zeros(0, int), CLASSES)
        )


def test_nothing_but_background_is_no_segmentation():
    with pytest.raises(ValueError, match="at least two classes"):
        segmentation_counts([0], [0], 1)
    with pytest.raises(ValueError, match="no foreground class"):
        mean_dice([[[1, 0, 0, 0]]])


@pytest.mark.parametrize(
    ("counts", "cause"),
    [
        ([[[1, 0]]], "must have shape"),
        ([1, 0, 0, 0], "must have shape"),
        ([[[1, -1, 0, 0]]], "whole numbers"),
        ([[[0.5, 0, 0, 0]]], "whole numbers"),
        ([[[np.nan, 0, 0, 0]]], "finite"),
        ([], "empty"),
    ],
)
def test_bad_counts(counts, cause):
    with pytest.raises(ValueError, match=cause):
        mean_dice(counts)


def test_a_summary_needs_cases_and_true_negatives():
    counts = two_cases()
    with pytest.raises(ValueError, match="counts must have shape"):
        segmentation_summary(counts[..., :3])
    with pytest.raises(ValueError, match="counts must have shape"):
        segmentation_summary(counts[0])
    with pytest.raises(ValueError, match="1 file names and counts of 2 cases"):
        segmentation_summary(counts, [("a", "b")])
    with pytest.raises(ValueError, match="cases, classes"):
        class_dice(counts[0])


LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20)


@given(LABELS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_accuracies_equal_those_of_scikit_learn(pairs):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    prediction, labels = zip(*pairs, strict=True)
    assert accuracy(prediction, labels) == pytest.approx(accuracy_score(labels, prediction), abs=1e-15)
    assert balanced_accuracy(prediction, labels) == pytest.approx(
        balanced_accuracy_score(labels, prediction), abs=1e-15
    )


def test_balanced_accuracy_is_the_mean_recall():
    assert accuracy([0, 0, 0, 0], [0, 0, 0, 1]) == 0.75
    assert balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1]) == 0.5
    assert balanced_accuracy([2, 2], [1, 1]) == 0


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy])
@pytest.mark.parametrize(
    ("prediction", "labels", "cause"),
    [([], [], "empty"), ([0, 1], [0], "samples"), ([0.5], [0], "integers"), ([0], [1.0], "integers")],
)
def test_bad_classifications(metric, prediction, labels, cause):
    with pytest.raises(ValueError, match=cause):
        metric(prediction, labels)
