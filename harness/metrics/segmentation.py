"""Agreement of predicted with true labels: Dice of label maps, accuracy of classified samples.

Dice follows nnU-Net's `summary.json`: per case and class, then the mean over cases, then over foreground classes.
Counts of voxels are arrays whose last axis is TP, FP, FN, TN; class 0 is the background.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, numeric, readable, same_length, vector

Counts = NDArray[np.int64]
_TP, _FP, _FN, _TN = range(4)


def segmentation_counts(
    prediction: ArrayLike,
    reference: ArrayLike,
    classes: int,
    *,
    ignore: int | None = None,
    regions: Sequence[Collection[int]] | None = None,
) -> Counts:
    """Voxels of one case that each class gets right and wrong: (classes, 4), in the order TP, FP, FN, TN.

    `prediction` and `reference` are label maps of one shape with integers 0 ... classes - 1. Voxels whose
    reference is `ignore` do not count, whatever is predicted there. With `regions`, each a union of classes, rows are
    those of the regions: (regions, 4); the first should be the background. ValueError for other labels, labels that
    are not integers, maps of two shapes, empty maps and less than two classes.
    """
    if classes < 2:
        raise ValueError(f"a segmentation has at least two classes, background included, not {classes}.")
    predicted, true = _label_map("prediction", prediction), _label_map("reference", reference)
    if predicted.shape != true.shape:
        raise ValueError(f"prediction has shape {predicted.shape}, reference has {true.shape}.")
    if ignore is not None:
        counted = true != ignore
        predicted, true = predicted[counted], true[counted]
    for name, labels in (("prediction", predicted), ("reference", true)):
        outside = labels[(labels < 0) | (labels >= classes)]
        if outside.size:
            raise ValueError(f"{name} holds the label {outside[0]}; labels are 0 ... {classes - 1}.")
    pairs = true.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    member = np.eye(classes, dtype=np.int64) if regions is None else _members(regions, classes)
    tp = np.einsum("ra,ab,rb->r", member, confusion, member)
    fp, fn = member @ confusion.sum(axis=0) - tp, member @ confusion.sum(axis=1) - tp
    return np.stack([tp, fp, fn, confusion.sum() - tp - fp - fn], axis=-1).astype(np.int64)


def dice(counts: ArrayLike) -> FloatArray:
    r"""Dice coefficient 2 TP / (2 TP + FP + FN): (..., classes).

    $$ \mathrm{Dice} = \frac{2 \, \mathrm{TP}}{2 \, \mathrm{TP} + \mathrm{FP} + \mathrm{FN}} $$

    Of counts (..., classes, 3 or 4): TP, FP, FN and possibly TN, whole numbers >= 0. In [0, 1], higher is
    better; nan where a class is in neither prediction nor reference. ValueError for other counts. Dice 1945,
    "Measures of the Amount of Ecologic Association Between Species", Ecology.
    """
    tp, fp, fn = np.moveaxis(_counts(counts, columns=(3, 4)), -1, 0)[:3]
    return _ratio(2 * tp, 2 * tp + fp + fn)


def class_dice(counts: ArrayLike) -> FloatArray:
    """Dice of each class, mean over the cases in which it is defined: (classes,); nan if there is none.

    Of counts (cases, classes, 3 or 4). ValueError as for `dice`. As `mean` in nnU-Net's summary.
    """
    values = dice(counts)
    if values.ndim != 2:
        raise ValueError(f"counts must have shape (cases, classes, 3 or 4), got {np.shape(counts)}.")
    return _mean_of_defined(values)


def mean_dice(counts: ArrayLike) -> float:
    """Mean Dice over the foreground classes, each first averaged over cases. In [0, 1], higher is better.

    Of counts (cases, classes, 3 or 4) with the background first, which does not count. nan, and means
    undefined, if a foreground class occurs in no case. ValueError as for `dice` and without a foreground
    class. As `foreground_mean` in nnU-Net's summary; Isensee et al. 2021, "nnU-Net", Nature Methods.
    """
    values = class_dice(counts)
    if len(values) < 2:
        raise ValueError("counts hold no foreground class: class 0 is the background.")
    return float(values[1:].mean())


def segmentation_summary(
    counts: ArrayLike, cases: Sequence[tuple[str, str]] | None = None, keys: Sequence[str] | None = None
) -> dict[str, Any]:
    """The content of nnU-Net's `summary.json`: foreground_mean, mean and metric_per_case.

    Of counts (cases, classes, 4) with the background first. `cases` are the (prediction, reference) file names.
    Every entry has Dice, IoU, TP, FP, FN, TN, n_pred and n_ref of a foreground class; classes are keyed by their
    label as text, or by `keys`, one for each foreground class or region. nan where undefined, as in nnU-Net. ValueError
    as for `mean_dice`, for counts without TN and if the number of cases or keys differs.
    """
    table = _counts(counts, columns=(4,))
    if table.ndim != 3 or table.shape[1] < 2:
        raise ValueError(f"counts must have shape (cases, classes >= 2, 4), got {table.shape}.")
    names = [("", "")] * len(table) if cases is None else list(cases)
    if len(names) != len(table):
        raise ValueError(f"there are {len(names)} file names and counts of {len(table)} cases.")
    labels = [str(label) for label in range(1, table.shape[1])] if keys is None else list(keys)
    if len(labels) != table.shape[1] - 1:
        raise ValueError(f"there are {len(labels)} keys and counts of {table.shape[1] - 1} foreground classes.")
    of_case = _case_metrics(table[:, 1:])
    mean = {name: _mean_of_defined(values) for name, values in of_case.items()}
    return {
        "foreground_mean": {name: float(values.mean()) for name, values in mean.items()},
        "mean": {label: {name: float(v[i]) for name, v in mean.items()} for i, label in enumerate(labels)},
        "metric_per_case": [
            {
                "metrics": {label: {m: v[k, i].item() for m, v in of_case.items()} for i, label in enumerate(labels)},
                "prediction_file": prediction,
                "reference_file": reference,
            }
            for k, (prediction, reference) in enumerate(names)
        ],
    }


def accuracy(prediction: ArrayLike, labels: ArrayLike) -> float:
    r"""Share of samples with the true class. In [0, 1], higher is better.

    $$ \frac{1}{n} \sum_i [g_i = y_i] $$

    $g_i$: predicted class, $y_i$: true class.

    Of integers (n,) and (n,). ValueError for empty, mismatched or other input.
    """
    predicted, true = _classified(prediction, labels)
    return float(np.mean(predicted == true))


def balanced_accuracy(prediction: ArrayLike, labels: ArrayLike) -> float:
    r"""Recall, averaged over the classes that occur in `labels`. In [0, 1], higher is better.

    $$ \frac{1}{K} \sum_{k=1}^{K} \frac{1}{n_k} \sum_{i : y_i = k} [g_i = k] $$

    $K$ classes; $n_k$ samples of class $k$; $g_i$: predicted class, $y_i$: true class.

    Of integers (n,) and (n,). ValueError for empty, mismatched or other input. Brodersen et al. 2010, "The
    Balanced Accuracy and Its Posterior Distribution", ICPR.
    """
    predicted, true = _classified(prediction, labels)
    _, of_class, size = np.unique(true, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(of_class, weights=predicted == true) / size))


def _members(regions: Sequence[Collection[int]], classes: int) -> Counts:
    """(regions, classes): 1 where a class is in a region."""
    found = np.zeros((len(regions), classes), dtype=np.int64)
    for row, region in zip(found, regions, strict=True):
        if not region or min(region) < 0 or max(region) >= classes:
            raise ValueError(f"a region is a union of classes 0 ... {classes - 1}, not {list(region)}.")
        row[list(region)] = 1
    return found


def _case_metrics(counts: Counts) -> dict[str, NDArray[Any]]:
    """nnU-Net's metrics by name, each (cases, classes)."""
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    return {
        "Dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "IoU": _ratio(tp, tp + fp + fn),
        "FP": fp,
        "TP": tp,
        "FN": fn,
        "TN": tn,
        "n_pred": fp + tp,
        "n_ref": fn + tp,
    }


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    ratio: FloatArray = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean_of_defined(values: NDArray[Any]) -> FloatArray:
    """(cases, classes) → (classes,), without NumPy's warning for a class that is undefined in every case."""
    defined = ~np.isnan(values)
    size = np.count_nonzero(defined, axis=0)
    total = np.where(defined, values, 0).sum(axis=0)
    return _ratio(total, size)


def _label_map(name: str, values: ArrayLike) -> NDArray[Any]:
    array = readable(name, values)
    if array.dtype.kind not in "biu":
        raise ValueError(f"{name} must be integer labels, got dtype {array.dtype}.")
    if array.size == 0:
        raise ValueError(f"{name} is empty.")
    return array


def _counts(counts: ArrayLike, columns: tuple[int, ...]) -> Counts:
    array = numeric("counts", counts)
    if array.ndim < 2 or array.shape[-1] not in columns:
        wanted = " or ".join(map(str, columns))
        raise ValueError(f"counts must have shape (..., classes, {wanted}), got {array.shape}.")
    if (array < 0).any() or (array != np.floor(array)).any():
        raise ValueError("counts must be whole numbers >= 0.")
    return array.astype(np.int64)


def _classified(prediction: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    predicted, true = vector("prediction", prediction), vector("labels", labels)
    for name, array in (("prediction", predicted), ("labels", true)):
        if array.dtype.kind not in "biu":
            raise ValueError(f"{name} must be integers, got dtype {array.dtype}.")
    same_length("prediction", predicted, "labels", true)
    return predicted, true
