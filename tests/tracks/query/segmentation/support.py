"""Small data sets in nnU-Net's raw format, and benchmarks over them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.spec.query import QueryBenchmark
from harness.tracks.query.pools import open_pool
from harness.tracks.query.sources import Setting

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[5] / "shared"))

BENCHMARK = """
schema_version = 1
id = "my-volumes"
version = 1
title = "My volumes"
task = "query"
performance = "dice"
seeds = [1]

[[source.datasets]]
kind = "nnunet-raw"
id = "mine"
folder = "raw"
{dataset}

[[trainings]]
kind = "nnunet"
id = "tiny"
folds = 2
epochs = 1
iterations = 2
validation_iterations = 1
features_per_stage = [4, 4, 4]
patch_size = [16, 16, 16]
batch_size = 2
mirrored_predictions = false
{training}

[[studies]]
id = "low"
group = "mine"
dataset = "mine"
training = "tiny"
start_rule = "all-classes"
start = 6
query = 3
loops = 2
patches = {{ size = [6, 6, 6], stride = [2, 2, 2], max_per_image = 3 }}
{study}
"""


def needs(*modules):
    for name in modules:
        pytest.importorskip(name, reason=f"{name} is not installed; `make query` installs it")


def balls(shape, seed):
    """A ball (1) with a core (2) on a noisy ground (0): image and labels."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.4, 0.6, size=3) * shape
    grid = np.indices(shape) - centre[:, None, None, None]
    distance = np.sqrt((grid**2).sum(axis=0)) / min(shape)
    labels = (distance < 0.35).astype(np.uint8) + (distance < 0.2)
    return labels + 0.2 * rng.normal(size=shape), labels


def write_volume(path, array, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None, colours=False):
    """An array (z, y, x[, colour]), with spacing and origin in the same order; the direction as SimpleITK has it."""
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(np.asarray(array), isVector=colours)
    image.SetSpacing([float(step) for step in spacing[::-1]])
    image.SetOrigin([float(at) for at in origin[::-1]])
    if direction is not None:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path))


def raw_folder(folder, cases=8, shape=(16, 18, 20), spacing=(1.0, 1.0, 1.0)):
    """`cases` volumes of balls; the folder of `dataset.json`."""
    for number in range(cases):
        image, labels = balls(shape, number)
        write_volume(folder / "imagesTr" / f"case_{number}_0000.nii.gz", image.astype(np.float32), spacing)
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", labels, spacing)
    write_header(folder)
    return folder


def write_header(folder, **changes):
    header = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "shell": 1, "core": 2},
        "numTraining": 8,
        "file_ending": ".nii.gz",
        **changes,
    }
    header = {name: value for name, value in header.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(header))


def write_picture(path, array):
    """A natural image (y, x) or (y, x, channels) of unsigned integers."""
    from skimage.io import imsave

    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, array, check_contrast=False)


def discs(seed, shape=(32, 40)):
    """A disc (1) with a core (2) on a noisy ground (0): image in colours (y, x, 3) uint8 and labels uint8."""
    rng = np.random.default_rng(seed)
    distance = np.hypot(*(np.indices(shape) - rng.uniform(12, 20, size=2)[:, None, None]))
    labels = (distance < 10).astype(np.uint8) + (distance < 5)
    return (60 * labels[..., None] + rng.integers(0, 60, (*shape, 3))).astype(np.uint8), labels


def picture_folder(folder, cases=8, grey=False, ending=".png", **header):
    """`cases` pictures of discs, in colours or grey."""
    for number in range(cases):
        image, labels = discs(number)
        write_picture(folder / "imagesTr" / f"case_{number}_0000{ending}", image[..., 0] if grey else image)
        write_picture(folder / "labelsTr" / f"case_{number}{ending}", labels)
    channels = {"0": "grey"} if grey else {"0": "R", "1": "G", "2": "B"}
    write_header(folder, **{"channel_names": channels, "file_ending": ending, **header})
    return folder


def benchmark(folder, dataset="", training="", study="", flat=False):
    """The benchmark file of a folder that has `raw`; of patches with two axes if flat."""
    path, text = folder / "benchmark.toml", BENCHMARK.format(dataset=dataset, training=training, study=study)
    if flat:
        for three, two in (("[16, 16, 16]", "[16, 16]"), ("[6, 6, 6]", "[6, 6]"), ("[2, 2, 2]", "[2, 2]")):
            text = text.replace(three, two)
    path.write_text(text)
    return path


def quiet(what, share):
    assert 0 <= share <= 1


def opened(offer, **changes):
    """The pool of an offer as a strategy sees it."""
    told = {"loop": 0, "loops": 2, "entropy": [0, 1, 0], "oracle": False, "needs": []}
    return open_pool({**offer.meta, **told, **changes})


def random_strategy(loop, offer):
    """Three patches at random, as a campaign asks for them."""
    names = [image["name"] for image in offer.meta["images"]]
    patches = opened(offer).random(3, np.random.default_rng(loop))
    return np.array([[names.index(name), *corner] for name, corner in patches])


def place(learner, name):
    """The number under which strategies ask for a volume of the data set."""
    return list(learner.ledger.shown.values()).index(name)


def boxed(row):
    """The slices of a pick: the image's number, the corner, the size."""
    axes = len(row) // 2
    return tuple(slice(low, low + extent) for low, extent in zip(row[1 : 1 + axes], row[1 + axes :], strict=True))


def setting(path):
    """The first study of a benchmark file."""
    protocol = load_protocol(path)
    return Setting(protocol, protocol.of(QueryBenchmark).studies[0])


def changed(original, study=None, training=None):
    """A setting with other constants."""
    other = Setting(original.protocol, original.study.model_copy(update=study or {}))
    other.training = original.training.model_copy(update=training or {})
    return other
