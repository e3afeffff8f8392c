"""Pools on disk as a campaign offers them, and slow readings of the rules of strategies."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from harness.methods.discovery import find_method, load_baseline
from harness.tracks.query.host import QueryHost

CAMPAIGN = {"loop": 0, "loops": 5, "entropy": [0, 1, 0], "oracle": False}


def committee(positions, members=3, classes=3, seed=0, sharpness=1.5):
    """Probabilities (members, classes, *positions) float32 whose members differ."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1, classes, *positions)) * sharpness + rng.normal(size=(members, classes, *positions))
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def image_pool(folder, probabilities, *, features=None, labelled_features=None, targets=(0,), rows=None, **meta):
    """`rows` of the data set, of unlabelled and of labelled images."""
    np.save(folder / "probabilities.npy", np.asarray(probabilities, dtype=np.float32))
    np.save(folder / "labelled_targets.npy", np.asarray(targets, dtype=np.int64))
    needs = ["members"]
    if features is not None:
        needs.append("features")
        np.save(folder / "features.npy", np.asarray(features, dtype=np.float32))
        none = np.zeros((0, np.shape(features)[1]))
        labelled = none if labelled_features is None else labelled_features
        np.save(folder / "labelled_features.npy", np.asarray(labelled, dtype=np.float32))
    if rows is not None:
        needs.append("names")
        for name, numbers in zip(("rows", "labelled_rows"), rows, strict=True):
            np.save(folder / f"{name}.npy", np.asarray(numbers, dtype=np.int64))
    classes = np.shape(probabilities)[1]
    described = {"task": "classification", "folder": str(folder), "classes": classes, "needs": needs, "budget": 3}
    return CAMPAIGN | described | meta


def volume_pool(
    folder, probabilities, *, annotated=None, features=None, labels=None, patch=(2, 3, 3), sources=None, **meta
):
    """`probabilities`, `features` and `labels` by name; `annotated` boxes by name; names in the data set by name."""
    images = []
    for number, (name, array) in enumerate(probabilities.items()):
        np.save(folder / f"{number}.probabilities.npy", np.asarray(array, dtype=np.float32))
        known = np.full(array.shape[2:], -1, dtype=np.int16) if labels is None else labels[name]
        np.save(folder / f"{number}.labels.npy", known)
        if features is not None:
            np.save(folder / f"{number}.features.npy", np.asarray(features[name], dtype=np.float32))
        boxes = (annotated or {}).get(name, [])
        source = {"source": sources[name]} if sources else {}
        images.append({"name": name, "shape": list(array.shape[2:]), "annotated": boxes, **source})
    classes = next(iter(probabilities.values())).shape[1]
    needs = ["members"] + (["features"] if features is not None else []) + (["names"] if sources else [])
    rule = {"patch_size": list(patch), "stride": [1] * len(patch), "max_per_image": 3, "budget": 4}
    described = {"task": "segmentation", "folder": str(folder), "classes": classes, "needs": needs, "images": images}
    return CAMPAIGN | rule | described | meta


@cache
def strategy(baseline):
    return load_baseline(find_method(baseline).spec)


def asked(baseline, meta, **changes):
    """The picks of a baseline, or of a decorated strategy: images, or (name, corner)."""
    meta = meta | changes
    host = QueryHost(strategy(baseline) if isinstance(baseline, str) else baseline, "cpu")
    host.begin({}, {})
    picks = host.query(meta, {})["picks"].tolist()
    if meta["task"] == "classification":
        return [number for (number,) in picks]
    return [(meta["images"][number]["name"], tuple(corner)) for number, *corner in picks]


# uncertainty, position by position -----------------------------------------------------------------


def entropy(p):
    return -sum(float(x) * np.log(float(x)) for x in p if x > 0)


def by_position(rule, probabilities):
    """`rule` of the (members, classes) at every position."""
    shape = probabilities.shape[2:]
    values = [rule(probabilities[(slice(None), slice(None), *at)].astype(np.float64)) for at in np.ndindex(*shape)]
    return np.array(values).reshape(shape)


RULES = {
    "predictive_entropy": lambda p: entropy(p.mean(axis=0)),
    "expected_entropy": lambda p: np.mean([entropy(member) for member in p]),
    "mutual_information": lambda p: entropy(p.mean(axis=0)) - np.mean([entropy(member) for member in p]),
    "variation_ratio": lambda p: 1 - p.mean(axis=0).max(),
    "margin": lambda p: np.diff(np.sort(p.mean(axis=0))[-2:]).item() * -1,
}


# patches, voxel by voxel ---------------------------------------------------------------------------


def corners(shape, patch, stride=(1, 1, 1)):
    return list(product(*(range(0, n - p + 1, s) for n, p, s in zip(shape, patch, stride, strict=True))))


def cut(values, corner, patch):
    return values[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))]


def overlap(one, other, patch, size=None):
    return all(a < b + q and b < a + p for a, b, p, q in zip(one, other, patch, size or patch, strict=True))


def greedy(scores, patch, most, taken=(), boxes=()):
    """Corner -> score as a list of the best corners without overlap: nothing in `taken`, none of `boxes`."""
    found = []
    for corner in sorted(scores, key=scores.get, reverse=True):
        free = not any(overlap(corner, other, patch) for other in [*taken, *found])
        free = free and not any(overlap(corner, low, patch, size) for low, size in boxes)
        if free and len(found) < most:
            found.append(corner)
    return found


def mean_scores(values, patch):
    return {corner: float(cut(values, corner, patch).mean()) for corner in corners(values.shape, patch)}
