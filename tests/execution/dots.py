"""Campaigns of active learning that take seconds: images with a bright third, left, middle or right."""

import textwrap

import numpy as np

from harness.execution.evaluate import Request
from harness.storage import write_arrays

BENCHMARK = """
id = "dots"
version = 1
title = "Dots"
task = "query"
performance = "accuracy"
seeds = [1, 2]
bootstrap = { replicates = 20 }
source.datasets = [
  { kind = "arrays", id = "dots", train = { path = "train.npz" }, test = { path = "test.npz" }, classes = 3 },
]
[[trainings]]
kind = "classifier"
id = "tiny"
network = "small-cnn"
epochs = 3
batch_size = 8
members = 3
optimiser = { learning_rate = 0.05 }
[[studies]]
id = "dots"
group = "dots"
dataset = "dots"
training = "tiny"
start = 6
query = 5
loops = 4
"""

METHOD = """
from harness import query_strategy

@query_strategy(version="1")
def entropy(probabilities):
    mean = probabilities.mean(0)
    return -(mean * mean.clamp_min(1e-12).log()).sum(0)
"""


def write_dots(folder, method=METHOD):
    """The benchmark and a strategy."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size, seed in (("train.npz", 90, 0), ("test.npz", 40, 1)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(3, size=size)
        images = rng.uniform(size=(size, 12, 12)) + (np.arange(12) // 4 == labels[:, None])[:, None, :]
        write_arrays(folder / name, {"inputs": images.astype(np.float32), "labels": labels})
    (folder / "benchmark.toml").write_text(BENCHMARK)
    (folder / "method.py").write_text(textwrap.dedent(method))
    return folder


def wanted(folder, out, **wishes):
    """A request to run the strategy of a folder of `write_dots`."""
    return Request(str(folder / "method.py"), str(folder / "benchmark.toml"), out=out, device="cpu", **wishes)
