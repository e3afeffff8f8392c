"""The images of a classification setting: a pool to label, a validation part, and a test part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.embedded import mnist_5k
from harness.spec.errors import UsageError
from harness.spec.query import ArrayImages, DigitImages
from harness.storage import IntegrityError, read_arrays
from harness.tracks.user_arrays import check_numbers, named_array, normalised, whole_labels

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.artefact import Artefact
    from harness.tracks.query.sources import Setting

_MAX_BYTES = 1 << 38  # images of one file, unpacked
_LARGEST = 1e6  # of a normalised value
_MNIST_MEAN, _MNIST_STD = 0.1307, 0.3081  # of the MNIST training set, in units of white


@dataclass(frozen=True)
class Images:
    """Inputs (n, c, h, w) float32, normalised, and targets (n,) int64 in [0, classes). A pick is a row of the pool."""

    pool_inputs: np.ndarray
    pool_targets: np.ndarray
    validation_inputs: np.ndarray
    validation_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    classes: int
    mirrored: bool
    """Whether the mirror image of a sample is a sample too: not so for digits."""
    black: np.ndarray
    white: np.ndarray
    """The darkest and the brightest value (c,) float32 of a channel: those of the levels 0 and 255 where the file of the
    pool has 8-bit images, else the smallest and the largest of the pool."""


def open_images(setting: Setting, seed: int = 0) -> Images:
    """All images of a setting. The seed draws what no file pins: the validation part, and the long tail.

    Where the study says how many images validate, they are the first so many of the validation part. Test images do
    not depend on the seed. Raises UsageError for files that are not what the benchmark says.
    """
    import numpy as np

    dataset = setting.dataset
    if isinstance(dataset, DigitImages):
        train, test, parts = _digits(setting, dataset)
    elif isinstance(dataset, ArrayImages):
        train, test, parts = _arrays(setting, dataset, np.random.default_rng([seed, 0]))
    else:
        raise TypeError(f"{dataset.id} is for segmentation")
    pool, mirrored = parts["pool"], isinstance(dataset, ArrayImages)
    if isinstance(dataset, ArrayImages) and dataset.imbalance is not None:
        pool = _long_tail(pool, train[1], dataset, np.random.default_rng([seed, 1]))
    if isinstance(dataset, ArrayImages) and dataset.pool_seed is not None:
        pool = np.random.default_rng(dataset.pool_seed).permutation(pool)
    validation = _leading(parts["validation"], setting)
    inputs, targets, levels = train
    levels = levels or (inputs[pool].min(axis=(0, 2, 3)), inputs[pool].max(axis=(0, 2, 3)))
    return Images(
        inputs[pool],
        targets[pool],
        inputs[validation],
        targets[validation],
        *test[:2],
        dataset.classes,
        mirrored,
        *levels,
    )


Samples = tuple["np.ndarray", "np.ndarray", "tuple[np.ndarray, np.ndarray] | None"]
"""Inputs (n, c, h, w) float32, targets (n,) int64, and black and white (c,) float32 of 8-bit images."""


def shared_images(images: Images) -> int:
    """How many test images are, value by value, images of the pool."""
    pool = {each.tobytes() for each in images.pool_inputs}
    return sum(each.tobytes() in pool for each in images.test_inputs)


def _digits(setting: Setting, dataset: DigitImages) -> tuple[Samples, Samples, dict[str, np.ndarray]]:
    import numpy as np

    inputs, labels = _all_digits()
    path = setting.protocol.verified(dataset.splits)[0]
    parts = _splits(path, ("pool", "validation", "test"), len(labels))
    if labels[np.concatenate(list(parts.values()))].max() >= dataset.classes:
        raise UsageError(f"{path} lists digits that are not below `classes` = {dataset.classes}; leave them out.")
    return (inputs, labels, None), (inputs[parts["test"]], labels[parts["test"]], None), parts


@cache
def _all_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read once: a run opens the same digits for each of its campaigns."""
    import numpy as np

    pixels, labels = mnist_5k()
    return ((pixels[:, None] / 255 - _MNIST_MEAN) / _MNIST_STD).astype(np.float32), labels


def _arrays(
    setting: Setting, dataset: ArrayImages, rng: np.random.Generator
) -> tuple[Samples, Samples, dict[str, np.ndarray]]:
    import numpy as np

    train = _read(setting.protocol.verified(dataset.train)[0], "train", dataset)
    test = _read_like(train, setting, dataset.test, "test", dataset)
    count = len(train[1])
    if dataset.val is not None:
        inputs, targets, _ = _read_like(train, setting, dataset.val, "val", dataset)
        both = np.concatenate([train[0], inputs]), np.concatenate([train[1], targets]), train[2]
        return both, test, {"pool": np.arange(count), "validation": np.arange(count, len(both[1]))}
    if dataset.splits is not None:
        return train, test, _splits(setting.protocol.verified(dataset.splits)[0], ("pool", "validation"), count)
    if dataset.validation >= count:
        raise UsageError(
            f"{dataset.id} has {count} images to train on, so a `validation` of {dataset.validation} leaves no pool; "
            "ask for fewer."
        )
    drawn = rng.permutation(count)
    return train, test, {"validation": drawn[: dataset.validation], "pool": np.sort(drawn[dataset.validation :])}


def _read_like(train: Samples, setting: Setting, file: Artefact, part: str, dataset: ArrayImages) -> Samples:
    """Another file, of images that are as large as those to train on."""
    path = setting.protocol.verified(file)[0]
    found = _read(path, part, dataset)
    if train[0].shape[1:] != found[0].shape[1:]:
        raise UsageError(
            f"{path} has images (c, h, w) = {found[0].shape[1:]}, those of {dataset.train.path} are "
            f"{train[0].shape[1:]}; bring them to one size."
        )
    return found


def _read(path: Path, part: str, dataset: ArrayImages) -> Samples:
    """One file, checked and normalised. `part`, for which `{part}` in the arrays' names stands: train, val or test."""
    try:
        arrays = read_arrays(path, max_bytes=_MAX_BYTES)
    except IntegrityError as error:
        raise UsageError(f"{error} Save plain arrays with numpy.savez.") from error
    inputs = named_array(arrays, dataset.inputs.replace("{part}", part), path)
    labels = named_array(arrays, dataset.labels.replace("{part}", part), path)
    targets = whole_labels(labels, len(inputs), str(path))
    if not len(targets) or targets.min() < 0 or targets.max() >= dataset.classes:
        found = f"go from {targets.min()} to {targets.max()}" if len(targets) else "are none"
        raise UsageError(f"{path}: the labels {found}; with `classes` = {dataset.classes} they are 0 to classes - 1.")
    return _images(inputs, path, dataset), targets, _levels(inputs, dataset)


def _images(inputs: np.ndarray, path: Path, dataset: ArrayImages) -> np.ndarray:
    """(n, c, h, w) float32 with the mean and deviation that the benchmark says."""
    import numpy as np

    axes = "n, h, w" if dataset.channels == "none" else f"n, {'c, h, w' if dataset.channels == 'first' else 'h, w, c'}"
    if inputs.ndim != axes.count(",") + 1 or not inputs.size:
        raise UsageError(
            f"{path}: the images have the shape {inputs.shape}; with `channels` = {dataset.channels!r} it is ({axes})."
        )
    check_numbers(inputs, str(path))
    images = normalised(inputs, dataset)
    if not np.isfinite(images).all():
        raise UsageError(f"{path}: some images hold NaN or infinite values; mend or leave out these images.")
    if (largest := float(np.abs(images).max())) > _LARGEST:
        raise UsageError(
            f"{path}: normalised, the images have values as large as {largest:.3g}, with which no network can be trained; "
            "mend these images, or bring them to about -1 to 1 by `scale`, `mean` and `std`."
        )
    return images


def _levels(inputs: np.ndarray, dataset: ArrayImages) -> tuple[np.ndarray, np.ndarray] | None:
    """What 0 and 255 of 8-bit images become, as (c,) float32; None for other images."""
    import numpy as np

    if inputs.dtype != np.uint8:
        return None
    channels = {"none": 1, "first": inputs.shape[1], "last": inputs.shape[-1]}[dataset.channels]
    ends = np.broadcast_to(np.array([0, 255], dtype=np.uint8)[:, None, None, None], (2, channels, 1, 1))
    black, white = normalised(ends, dataset.model_copy(update={"channels": "first"}))[:, :, 0, 0]
    return black, white


def _splits(path: Path, names: tuple[str, ...], count: int) -> dict[str, np.ndarray]:
    """Disjoint parts, the pool in ascending order, from a JSON object of lists of indices."""
    import numpy as np

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: content[name] for name in names}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} must be a JSON object with lists of indices {', '.join(names)}.") from error
    listed: list[object] = []
    for name, indices in parts.items():
        if not isinstance(indices, list) or not all(type(each) is int and 0 <= each < count for each in indices):
            raise UsageError(f"{path}: {name} must list whole numbers from 0 to {count - 1}.")
        if not indices and name != "validation":
            raise UsageError(f"{path}: {name} is empty; it needs at least one image.")
        listed += indices
    if len(set(listed)) < len(listed):
        raise UsageError(
            f"{path} lists {len(listed) - len(set(listed))} images more than once; every part needs its own."
        )
    arrays = {name: np.asarray(indices, dtype=np.int64) for name, indices in parts.items()}
    return {**arrays, "pool": np.sort(arrays["pool"])}


def _long_tail(pool: np.ndarray, targets: np.ndarray, dataset: ArrayImages, rng: np.random.Generator) -> np.ndarray:
    """Images that are left in the pool when class c keeps largest * imbalance ** (-c / (classes - 1)), rounded down.

    Without `largest`, class 0 keeps all that it has. A class with fewer images keeps them all.
    """
    import numpy as np

    assert dataset.imbalance is not None
    largest = dataset.largest or int((targets[pool] == 0).sum())
    kept = []
    for label in range(dataset.classes):
        mine = pool[targets[pool] == label]
        share = dataset.imbalance ** (-label / (dataset.classes - 1))
        kept.append(rng.permutation(mine)[: int(largest * share + 1e-9)])
    return np.sort(np.concatenate(kept))


def _leading(validation: np.ndarray, setting: Setting) -> np.ndarray:
    wanted = setting.study.validation
    if wanted is not None and wanted > len(validation):
        raise UsageError(
            f"study {setting.study.id} asks for {wanted} validation images, but {setting.dataset.id} has "
            f"{len(validation)}; ask for fewer."
        )
    return validation[:wanted]
