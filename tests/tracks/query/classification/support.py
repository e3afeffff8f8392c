"""A user's own benchmark in miniature: easy images of three classes, its file, and its settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.storage import write_arrays
from harness.tracks.query.classification.learner import ClassificationLearner
from harness.tracks.query.sources import Setting

SIDE, CLASSES = 12, 3
TRAINING = """
[[trainings]]
kind = "classifier"
id = "training"
network = "small-cnn"
epochs = 4
batch_size = 8
samples_per_epoch = 48
dropout = 0.4
members = 4
{training}
[trainings.optimiser]
learning_rate = {rate}
weight_decay = 5e-4
"""
BENCHMARK = """
schema_version = 1
id = "my-images"
version = 1
title = "My images"
task = "query"
performance = "{performance}"
seeds = [1, 2]
[[source.datasets]]
kind = "arrays"
id = "mine"
train = {{ path = "train.npz" }}
test = {{ path = "test.npz" }}
classes = 3
{dataset}
[[studies]]
id = "few"
group = "few"
dataset = "mine"
training = "training"
start = 6
query = 6
loops = 3
{study}
"""


def easy_images(count: int, seed: int, channels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (count, SIDE, SIDE[, channels]) uint8 with a bright bar whose place is the class; labels in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 120, (count, SIDE, SIDE, channels or 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[1 + 4 * label : 4 + 4 * label] = 255 - image[1 + 4 * label : 4 + 4 * label] // 2
    return (images if channels else images[..., 0]), labels


def write_benchmark(
    folder: Path,
    *,
    dataset: str = "scale = 255.0\nvalidation = 12",
    study: str = "",
    training: str = "",
    rate: float = 0.05,
    performance: str = "accuracy",
    images: bool = True,
    channels: int = 0,
) -> LoadedBenchmark:
    """A benchmark file beside its images (60 to train, 30 to test)."""
    if images:
        for name, count, seed in (("train", 60, 0), ("test", 30, 1)):
            inputs, labels = easy_images(count, seed, channels)
            write_arrays(folder / f"{name}.npz", {"inputs": inputs, "labels": labels})
    text = BENCHMARK.format(dataset=dataset, study=study, performance=performance)
    path = folder / "benchmark.toml"
    path.write_text(text + TRAINING.format(training=training, rate=rate))
    return load_protocol(path)


def setting_of(protocol: LoadedBenchmark) -> Setting:
    return Setting(protocol, protocol.benchmark.studies[0])


def learner_of(
    protocol: LoadedBenchmark, seed: int = 1, needs: tuple[str, ...] = ("members",)
) -> ClassificationLearner:
    return ClassificationLearner(setting_of(protocol), seed, needs, "cpu")


def unheard(what: str, share: float) -> None:
    """Nobody listens."""
