"""Benchmarks of one's own of every kind that the documentation describes, small, with the files that they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from tests.tracks.query.segmentation.support import benchmark as volumes_benchmark
from tests.tracks.query.segmentation.support import needs, raw_folder
from tests.tracks.test_user_sources import Network
from tests.tracks.test_user_sources import benchmark as folders_benchmark

_CONFIDENCE = """
schema_version = 1
id = "mine"
version = 1
title = "Mine"
task = "confidence"
metrics = ["augrc", "failure_auroc"]
bootstrap = { replicates = 50 }
studies = [
  { id = "iid", kind = "iid", samples = "iid", group = "iid" },
  { id = "shift", kind = "domain-shift", samples = "shift", group = "shift" },
]
[source]
sets = { iid = { rows = [0, 60] }, shift = { rows = [60, 120] } }
"""
_RESULTS = """
kind = "results"
models = [
  { id = "one", head = "one", table = { path = "one.csv" } },
  { id = "two", head = "two", table = { path = "two.csv" } },
]
"""
_TABLE = """
kind = "table"
holds = "probabilities"
values = "predictions"
labels = "truth"
models = [{ id = "net", table = { path = "net.ENDING" } }]
"""
_HEADS = """
from harness import confidence_score

@confidence_score(version="1.0", head="one")
def one(outputs):
    return outputs.head_confidence

@confidence_score(version="1.0", head="two")
def two(outputs):
    return outputs.head_confidence
"""
_CLASSIFIED = """
schema_version = 1
id = "mine"
version = 1
title = "Mine"
task = "query"
performance = "accuracy"
seeds = [1, 2]
bootstrap = { replicates = 50 }
source.datasets = [
  { kind = "arrays", id = "mine", train = { path = "train.npz" }, test = { path = "test.npz" }, classes = 3, scale = 255.0 },
]
[[trainings]]
kind = "classifier"
id = "small"
network = "small-cnn"
epochs = 1
batch_size = 8
samples_per_epoch = 8
optimiser = { learning_rate = 0.05 }
[[studies]]
id = "low"
group = "low"
dataset = "mine"
training = "small"
start = 6
query = 3
loops = 2
"""
_EXPLAINED = """
schema_version = 1
id = "mine"
version = 1
title = "Mine"
task = "attribution"
reference = ["saliency"]
bootstrap = { replicates = 50 }
[source]
kind = "arrays"
models = [
  { id = "net", modality = "image", architecture = "cnn", factory = { path = "model.py" }, weights = { path = "net.safetensors" } },
]
sets = [
  { id = "test", modality = "image", file = { path = "images.npz" }, inputs = "images", labels = "labels", scale = 255.0, count = 6 },
]
[[metrics]]
id = "deletion"
constants = { step = 32 }
[[metrics]]
id = "complexity"
[[studies]]
id = "test"
samples = "test"
models = ["net"]
metrics = ["deletion", "complexity"]
group = "test"
"""
_NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Conv2d(1, 4, 3)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).mean((2, 3)))


def build():
    return Net()
"""


@dataclass(frozen=True)
class Own:
    """A kind of benchmark of one's own: what writes `my.toml` and its files, and two methods for it."""

    write: Callable[[Path], None]
    methods: tuple[str, str]
    task: str = "confidence"


def results(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        rows = {
            "label": rng.integers(3, size=120),
            "prediction": rng.integers(3, size=120),
            "confidence": rng.random(120),
        }
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    (folder / "my.toml").write_text(_CONFIDENCE + _RESULTS)
    (folder / "scores.py").write_text(_HEADS)


def table(ending: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        values, truth = rng.dirichlet(np.ones(3), 120), rng.integers(3, size=120)
        columns = {**{f"predictions_{k}": values[:, k] for k in range(3)}, "truth": truth}
        if ending == "npz":
            np.savez(folder / "net.npz", predictions=values, truth=truth)
        elif ending == "csv":
            pd.DataFrame(columns).to_csv(folder / "net.csv", index=False)
        else:
            pd.DataFrame(columns).to_parquet(folder / "net.parquet")
        (folder / "my.toml").write_text(_CONFIDENCE + _TABLE.replace("ENDING", ending))

    return write


def folders(folder: Path) -> None:
    for number, name in enumerate(("plain", "learnt")):
        Network(number).store(folder / "results" / name)
    text = folders_benchmark(folder).read_text().replace("my-folder", "mine")
    (folder / "my.toml").write_text(text)


def classified(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 12)):
        inputs = rng.integers(0, 256, (count, 12, 12), dtype=np.uint8)
        np.savez(folder / f"{part}.npz", inputs=inputs, labels=np.arange(count) % 3)
    (folder / "my.toml").write_text(_CLASSIFIED)


def explained(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 12, 12), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images, labels=rng.integers(0, 2, 6))
    (folder / "model.py").write_text(_NETWORK)
    made: dict[str, type[torch.nn.Module]] = {}
    exec(_NETWORK, made)
    torch.manual_seed(0)
    save_file(made["Net"]().state_dict(), folder / "net.safetensors")
    (folder / "my.toml").write_text(_EXPLAINED)


def volumes(folder: Path) -> None:
    needs("SimpleITK", "nnunetv2")
    raw_folder(folder / "raw")
    text = volumes_benchmark(folder).read_text().replace("my-volumes", "mine")
    (folder / "my.toml").write_text(text)


KINDS = {
    "results": Own(results, ("scores.py:one", "scores.py:two")),
    "npz": Own(table("npz"), ("msr", "pe")),
    "csv": Own(table("csv"), ("msr", "margin")),
    "parquet": Own(table("parquet"), ("msr", "pe")),
    "fd-shifts": Own(folders, ("msr", "mls")),
    "classification": Own(classified, ("random-sampling", "predictive-entropy"), task="query"),
    "volumes": Own(volumes, ("random-sampling", "predictive-entropy"), task="query"),
    "attribution": Own(explained, ("saliency", "input-x-gradient"), task="attribution"),
}
