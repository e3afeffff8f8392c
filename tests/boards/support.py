"""A checkout in miniature: one benchmark of made-up outputs, and submissions written as files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

from harness.boards.submissions import read_about, write_about
from harness.boards.tiers import maps_id, record_path
from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.execution.environment import describe_environment
from harness.spec.method import ConfidenceMethod
from harness.spec.submission import Cost, Reproduction, Submission
from harness.storage import file_id, read_arrays, write_arrays, write_json

STUDIES, MODELS = ("iid", "shift"), ("one", "two")
SAMPLES = 300
BENCHMARK = """
schema_version = 1
id = "toy"
version = 1
title = "Toy"
task = "confidence"
metrics = ["augrc"]
[bootstrap]
replicates = 200
[source]
kind = "table"
holds = "logits"
values = "logits"
[[source.models]]
id = "one"
seed = 0
table = { path = "one.npz" }
[[source.models]]
id = "two"
seed = 1
table = { path = "two.npz" }
[source.sets]
iid = { named = "iid" }
shift = { named = "shift" }
[[studies]]
id = "iid"
kind = "iid"
samples = "iid"
group = "iid"
[[studies]]
id = "shift"
kind = "domain-shift"
samples = "shift"
group = "shift"
"""


def write_checkout(root: Path) -> LoadedBenchmark:
    """`leaderboards/toy/1` with its tables, and empty folders beside it."""
    folder = root / "leaderboards" / "toy" / "1"
    folder.mkdir(parents=True)
    (root / "submissions").mkdir()
    (root / "datasets").mkdir()
    (folder / "benchmark.toml").write_text(BENCHMARK)
    for seed, model in enumerate(MODELS):
        rng = np.random.default_rng(seed)
        labels = rng.integers(4, size=2 * SAMPLES)
        strength = np.repeat([2.0, 1.2], SAMPLES)[:, None]
        logits = rng.normal(size=(2 * SAMPLES, 4)) + strength * np.eye(4)[labels]
        np.savez(folder / f"{model}.npz", logits=logits, labels=labels, set=np.repeat(STUDIES, SAMPLES))
    return load_protocol(folder / "benchmark.toml")


def wrong(protocol: LoadedBenchmark, model: str, study: str) -> np.ndarray:
    """1 where the model errs."""
    with np.load(protocol.path.parent / f"{model}.npz", allow_pickle=False) as table:
        rows = table["set"] == study
        return (table["logits"][rows].argmax(axis=1) != table["labels"][rows]).astype(float)


def write_submission(
    root: Path, protocol: LoadedBenchmark, name: str, quality: float, units: int = 4, reference: bool = False
) -> Path:
    """A score that tells failures from successes by `quality` standard deviations."""
    folder = root / "submissions" / protocol.benchmark.name / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(sum(name.encode()))
    answers = {}
    for model in MODELS:
        for study in STUDIES:
            truth = wrong(protocol, model, study)
            answers[f"{model}--{study}--confidence"] = (rng.normal(size=len(truth)) - quality * truth).astype(
                np.float32
            )
    write_arrays(folder / "outputs.npz", dict(list(answers.items())[:units]))
    method = ConfidenceMethod(
        task="confidence",
        name=name,
        version="1.0",
        origin="file",
        target=f"{name}.py:{name}",
        symbol=name,
        source_sha256="0" * 64,
        reference=reference,
    )
    about = Submission(
        benchmark=protocol.benchmark.name,
        benchmark_hash=protocol.hash,
        method=method,
        run="0" * 64,
        outputs={"outputs.npz": file_id(folder / "outputs.npz")},
    )
    write_about(folder, about)
    return folder


def told(folder: Path, **changes: object) -> None:
    """Say something else in `submission.toml`."""
    write_about(folder, read_about(folder).model_copy(update=changes))


def change_outputs(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """As somebody who knows that the hash must fit."""
    arrays = read_arrays(folder / "outputs.npz")
    change(arrays)
    write_arrays(folder / "outputs.npz", arrays)
    told(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})


def record(folder: Path, **changes: object) -> Path:
    """As a maintainer who has run the method again and commits what came of it; returns the file."""
    path = record_path(read_about(folder))
    path.parent.mkdir(exist_ok=True)
    write_json(path, reproduced(folder).model_copy(update=changes).canonical())
    return path


def reproduced(folder: Path) -> Reproduction:
    """What says that a submission came out again."""
    about = read_about(folder)
    return Reproduction(
        run=about.run,
        outputs=about.outputs,
        same=True,
        tolerance=0.0,
        maps=maps_id(about),
        cost=Cost(seconds=7.0),
        shuffle=3,
        sandbox="worker",
        environment=describe_environment("cpu", 1, {"run": 0}),
        on=date(2026, 1, 1),
    )
