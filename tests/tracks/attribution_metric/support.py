"""A user's own maps in miniature: networks that differ in their seed, maps of planted worth, and a client in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.catalog import load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.discovery import find_method
from harness.storage import write_arrays
from harness.tracks.attribution_metric.maps import packed
from tests.methods.support import InProcess, write
from tests.tracks.attribution.support import SAMPLES, SIDE, write_benchmark

REAL = ("a", "b", "c", "d", "e")
BENCHMARK = """
schema_version = 1
id = "my-maps"
version = 1
title = "My maps"
task = "attribution-metric"
sanity = ["noise", "flat"]
scored_at_once = 16
[reference]
faithfulness = ["deletion", "insertion"]
complexity = ["sparseness"]
[bootstrap]
replicates = 60
[source]
kind = "arrays"
[[source.models]]
id = "one"
modality = "image"
architecture = "cnn"
factory = { path = "factory.py" }
weights = { path = "weights.safetensors" }
cam_layer = "relu"
[[source.models]]
id = "two"
seed = 1
modality = "image"
architecture = "cnn"
factory = { path = "factory.py" }
[[source.sets]]
id = "test"
modality = "image"
file = { path = "images.npz" }
inputs = "images"
labels = "labels"
masks = "masks"
scale = 255.0
[[source.maps]]
model = "one"
samples = "test"
file = { path = "one.npz" }
[[source.maps]]
model = "two"
samples = "test"
file = { path = "two.npz" }
[[studies]]
id = "test"
samples = "test"
models = ["one", "two"]
retrained = ["one", "two"]
group = "test"
"""
INSIDE = """
from harness import attribution_metric

@attribution_metric(version="1.0", higher_is_better=True, criterion="faithfulness")
def inside(model, inputs, targets, maps):
    bright = (inputs > 0.5).float()  # the planted square
    positive = maps.clamp_min(0)
    return ((positive * bright).flatten(1).sum(1) + 1e-6) / (positive.flatten(1).sum(1) + 1e-6)
"""


def planted(masks: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Maps (n, 1, side, side) of which about this share lies where the truth is."""
    noise = np.random.default_rng(seed).uniform(size=masks.shape)
    return (share * masks * noise / masks.mean() + (1 - share) * noise)[:, None].astype(np.float32)


def stored_maps(masks: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Methods whose worth rises from a to e; their randomised maps are noise; references agree, one each way."""
    maps = {name: planted(masks, 0.2 * place, 10 * seed + place) for place, name in enumerate(REAL, start=1)}
    maps |= {"noise": planted(masks, 0.0, 10 * seed + 7), "flat": np.ones((len(masks), 1, SIDE, SIDE), np.float32)}
    randomised = {name: planted(masks, 0.0, 10 * seed + 20 + place) for place, name in enumerate(REAL)}
    worth = np.array([1, 2, 3, 4, 5, 0, 0], dtype=float)[:, None] + 0.1 * np.arange(len(masks))
    reference = {"deletion": -worth, "insertion": worth, "sparseness": -worth}
    return packed(maps, randomised, reference if seed == 0 else {})


def write_meta_benchmark(folder: Path, text: str = BENCHMARK) -> Path:
    """Two networks, one of them with reference scores; returns the benchmark's file."""
    path = write_benchmark(folder, text)
    with np.load(folder / "images.npz", allow_pickle=False) as arrays:
        masks = arrays["masks"].astype(float)
    assert len(masks) == SAMPLES
    for seed, name in enumerate(("one", "two")):
        write_arrays(folder / f"{name}.npz", stored_maps(masks, seed))
    return path


def opened(folder: Path, source: str = INSIDE, text: str = BENCHMARK, limit: int | None = None, shuffle: int = 0):
    """Track, units and client of a metric on the miniature."""
    target = source if "\n" not in source else str(write(folder, source))
    protocol = load_protocol(write_meta_benchmark(folder, text))
    client = InProcess(target, folder)
    track = open_track(protocol, find_method(target).spec, "cpu", shuffle)
    units = list(plan_units(protocol, track, client.spec, PlanRequest(folder, limit=limit)).values())
    return track, units, client


def answers(folder: Path, source: str = INSIDE, text: str = BENCHMARK, limit: int | None = None):
    """Track, and what a metric says in every unit."""
    track, units, client = opened(folder, source, text, limit)
    return track, {unit: track.ask(unit, client) for unit in units}
