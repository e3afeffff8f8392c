"""A small benchmark of each kind of source, and how a method scores on it."""

from pathlib import Path

import numpy as np

from harness.data.catalog import bundled_folder, load_protocol
from harness.execution.plan import PlanRequest, plan_units
from harness.methods.client import MethodError
from harness.tracks.confidence.track import ConfidenceTrack
from harness.tracks.summary import records
from tests.data.test_fdshifts import last_layer, made, store, tables
from tests.methods.support import InProcess

STUDIES = """
task = "confidence"
licence = "CC0"
citation = ["Someone 2026, A work"]
metrics = ["augrc", "aurc", "failure_auroc"]
bootstrap = { replicates = 20 }
"""


def images(folder, count=150):
    """Two networks of the embedded benchmark on few of its images."""
    models = bundled_folder("datasets") / "confidence-mnist"
    text = f"""
id = "small-images"
version = 1
title = "Few digits"
{STUDIES}
default_family = "plain"
reference = {{ train = "train", validation = "validation" }}
studies = [
  {{ id = "iid", kind = "iid", samples = "iid", group = "iid" }},
  {{ id = "photos", kind = "new-class", samples = "iid", unknown = "photos", group = "photos" }},
]
[source]
kind = "images"
classes = 8
mc_members = 4
splits = {{ path = "{models}/splits.json" }}
models = [
  {{ id = "plain-0", family = "plain", head = "confidnet", weights = {{ path = "{models}/models/plain-0.safetensors" }} }},
  {{ id = "devries-0", family = "devries", head = "devries", weights = {{ path = "{models}/models/devries-0.safetensors" }} }},
]
sets = [
  {{ id = "train", images = "mnist-5k", split = "train", count = {count} }},
  {{ id = "validation", images = "mnist-5k", split = "validation", count = {count} }},
  {{ id = "iid", images = "mnist-5k", split = "test", classes = [0, 1, 2, 3, 4, 5, 6, 7], count = {count} }},
  {{ id = "photos", images = "photos", count = 40 }},
]
"""
    return _loaded(folder, text)


def folders(folder):
    """Two FD-Shifts folders in half precision; their networks were tested in another order of samples."""
    for name, seed in (("one", 0), ("two", 1)):
        truth = made(seed)
        store(folder / name, tables(truth), np.float16, last_layer(truth))
    text = f"""
id = "small-folders"
version = 1
title = "Stored outputs"
{STUDIES}
reference = {{ validation = "val", train = "train" }}
studies = [
  {{ id = "iid", kind = "iid", samples = "iid", group = "iid" }},
  {{ id = "new", kind = "new-class", samples = "iid", unknown = "new", group = "new" }},
]
[source]
kind = "fd-shifts"
models = [{{ id = "one", folder = "one" }}, {{ id = "two", seed = 1, folder = "two" }}]
sets = {{ val = 0, iid = 1, new = 4 }}
train = "train"
"""
    return _loaded(folder, text)


def table(folder):
    """Soft-max outputs in one file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=200)
    logits = rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.savez(folder / "table.npz", p=probabilities.astype(np.float32), labels=labels)
    text = f"""
id = "small-table"
version = 1
title = "A table"
{STUDIES}
studies = [{{ id = "iid", kind = "iid", samples = "iid", group = "iid" }}]
[source]
kind = "table"
holds = "probabilities"
values = "p"
models = [{{ id = "one", table = {{ path = "table.npz" }} }}]
sets = {{ iid = {{ rows = [0, 200] }} }}
"""
    return _loaded(folder, text)


def answers(protocol, method, scratch):
    """(model, study) -> the method's confidences bit by bit, and every record; or status and reason."""
    client = InProcess(method, scratch)
    track = ConfidenceTrack(protocol, client.spec)
    found = {}
    for unit in plan_units(protocol, track, client.spec, PlanRequest(Path())).values():
        try:
            outputs = track.ask(unit, client)
        except MethodError as error:
            found[unit.model, unit.study] = (error.status, error.reason)
        else:
            found[unit.model, unit.study] = (outputs["confidence"].tobytes(), records(track.measure(unit, outputs)))
    return found


def _loaded(folder, text):
    (folder / "benchmark.toml").write_text(text)
    return load_protocol(folder / "benchmark.toml")
