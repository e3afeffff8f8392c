"""A user's own benchmark in miniature: arrays, a factory, weights, and a client without a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.discovery import find_method
from tests.methods.support import InProcess, write

SIDE, CLASSES, SAMPLES = 8, 3, 9
FACTORY = f"""
from torch import nn


class Pooled(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Linear(6 * 16, classes)

    def forward(self, inputs):
        return self.classifier(self.pool(self.relu(self.conv(inputs))).reshape(len(inputs), -1))


def build(classes={CLASSES}):
    return Pooled(classes)
"""
BENCHMARK = """
schema_version = 1
id = "my-images"
version = 1
title = "My images"
task = "attribution"
explained_at_once = 4
reference = ["input-x-gradient", "saliency"]
overall = ["faithfulness", "complexity"]
[bootstrap]
replicates = 50
[source]
kind = "arrays"
[[source.models]]
id = "small"
modality = "image"
architecture = "cnn"
factory = { path = "factory.py" }
weights = { path = "weights.safetensors" }
cam_layer = "relu"
[[source.sets]]
id = "test"
modality = "image"
file = { path = "images.npz" }
inputs = "images"
labels = "labels"
masks = "masks"
background = "background"
scale = 255.0
[[metrics]]
id = "faithfulness_estimate"
[[metrics]]
id = "sparseness"
[[metrics]]
id = "relevance_mass"
[[metrics]]
id = "local_lipschitz"
[[studies]]
id = "test"
samples = "test"
models = ["small"]
metrics = ["faithfulness_estimate", "sparseness", "relevance_mass", "local_lipschitz"]
group = "test"
"""
GRADIENT = """
@explainer(version="1.0")
def mine(model, inputs, targets):
    inputs = inputs.requires_grad_(True)
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad * inputs
"""


def write_benchmark(folder: Path, text: str = BENCHMARK) -> Path:
    """Images with one bright square each, whose place is the class; returns the benchmark's file."""
    import torch
    from safetensors.torch import save_file

    rng = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % CLASSES
    images = rng.integers(0, 60, size=(SAMPLES, SIDE, SIDE)).astype(np.uint8)
    masks = np.zeros((SAMPLES, SIDE, SIDE), dtype=bool)
    for row, label in enumerate(labels):
        masks[row, 2:6, 2 * label : 2 * label + 3] = True
    images[masks] += 150
    with (folder / "images.npz").open("wb") as stream:
        np.savez(
            stream,
            images=images,
            labels=labels[:, None],
            late=labels + 5,
            words=images.astype("U3"),
            broken=np.full(images.shape, np.nan),
            masks=masks,
            background=images[:4],
            none=images[:0],
        )
    (folder / "factory.py").write_text(FACTORY)
    scope: dict[str, object] = {}
    exec(FACTORY, scope)
    torch.manual_seed(0)
    network = scope["build"]()  # type: ignore[operator]
    save_file(network.state_dict(), folder / "weights.safetensors")
    path = folder / "benchmark.toml"
    path.write_text(text)
    return path


def answer(folder: Path, method: str, benchmark: Path | None = None, limit: int | None = None):
    """Track, unit and outputs of a method (its source, or a baseline's name) on the miniature's one unit."""
    target = method if method.isidentifier() or "-" in method.split("\n")[0] else str(write(folder, method))
    protocol: LoadedBenchmark = load_protocol(benchmark or write_benchmark(folder))
    client = InProcess(target, folder)
    track = open_track(protocol, find_method(target).spec, "cpu")
    (unit,) = plan_units(protocol, track, client.spec, PlanRequest(folder, limit=limit)).values()
    return track, unit, track.ask(unit, client)
