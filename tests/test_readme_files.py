"""Every benchmark file of README and the documentation is evaluated as it stands, on made-up data; where a training would take long, a shorter one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.cli.support import harness
from tests.printed import FILES, SNIPPETS
from tests.tracks.query.segmentation.support import needs, raw_folder

pytestmark = pytest.mark.usefixtures("in_this_process")

(NETWORK,) = (text for text in SNIPPETS["docs/guides/own-models-and-data.md"] if "def build():" in text)
RNG = np.random.default_rng(0)


def results(folder: Path) -> None:
    labels, predictions = RNG.integers(0, 4, (2, 100))
    rows = (f"{label},{prediction},{RNG.random()}" for label, prediction in zip(labels, predictions, strict=True))
    (folder / "results.csv").write_text("\n".join(["label,prediction,confidence", *rows]))


def outputs(folder: Path) -> None:
    predictions = RNG.dirichlet(np.ones(4), 10_000)
    np.savez(
        folder / "resnet.npz",
        predictions=predictions,
        ground_truth=RNG.integers(0, 4, 10_000),
        features=RNG.normal(size=(10_000, 3)),
        members=RNG.dirichlet(np.ones(4), (2, 10_000)),
        confidence=predictions.max(axis=1),
    )


def pictures(folder: Path) -> None:
    for part, count in (("train", 120), ("test", 30)):
        inputs = RNG.integers(0, 256, (count, 16, 16), dtype=np.uint8)
        np.savez(folder / f"{part}.npz", inputs=inputs, labels=np.arange(count) % 4)


def network(folder: Path) -> None:
    images = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    np.savez(folder / "pneumoniamnist.npz", test_images=images, test_labels=RNG.integers(0, 2, (30, 1)))
    (folder / "model.py").write_text(NETWORK)
    made: dict[str, type[torch.nn.Module]] = {}
    exec(NETWORK, made)
    torch.manual_seed(0)
    save_file(made["Net"]().state_dict(), folder / "resnet.safetensors")


EVALUATED = {  # title: what lies beside the file, a method, what is shorter
    "My results": (results, "head-confidence", {}),
    "My score on my classifier": (results, "head-confidence", {}),
    "My classifier under shift": (outputs, "msr", {}),
    "My images": (
        pictures,
        "random-sampling",
        {"epochs = 100": "epochs = 1", "= 1000 ": "= 16 ", "resnet-18": "small-cnn"},
    ),
    "My X-ray classifier": (network, "saliency", {}),
}
PLANNED = "Hippocampus in small patches"
"""Its campaigns take hours; short ones are run by the tests of the query track."""


def title(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("title")).split('"')[1]


def test_every_file_is_tried() -> None:
    assert sorted(map(title, FILES)) == sorted([*EVALUATED, PLANNED])


@pytest.mark.parametrize("name", EVALUATED)
def test_a_benchmark_file_as_printed_is_evaluated(name: str, tmp_path: Path) -> None:
    write, method, shorter = EVALUATED[name]
    (text,) = (each for each in FILES if title(each) == name)
    for long, short in shorter.items():
        assert long in text
        text = text.replace(long, short)
    (tmp_path / "my_benchmark.toml").write_text(text)
    write(tmp_path)
    done = harness("evaluate", method, "--benchmark", "my_benchmark.toml", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    units = json.loads(done.stdout)["run"]["units"]
    assert units
    assert {unit["status"] for unit in units} == {"ok"}


def test_a_benchmark_of_volumes_as_printed_is_planned(tmp_path: Path) -> None:
    needs("SimpleITK", "nnunetv2")
    (text,) = (each for each in FILES if title(each) == PLANNED)
    (tmp_path / "my_benchmark.toml").write_text(text)
    raw_folder(tmp_path / "Dataset004_Hippocampus", cases=2)
    done = harness("plan", "--benchmark", "my_benchmark.toml", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert len(plan["units"]) == 2
    assert plan["files_absent"] == []
