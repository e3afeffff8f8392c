"""Real medical images of a user: MedMNIST files as they are, a network of one's own, trained in a moment."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.storage import read_arrays

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
FACTORY = """
from torch import nn


class Net(nn.Module):
    def __init__(self, dimensions):
        super().__init__()
        conv, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if dimensions == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
        self.features = nn.Sequential(conv(1, 8, 3, stride=2, padding=1), nn.ReLU(), conv(8, 16, 3, stride=2), nn.ReLU())
        self.pool = pool(3)
        self.classifier = nn.Linear(16 * 3**dimensions, 2)

    def forward(self, inputs):
        return self.classifier(self.pool(self.features(inputs)).reshape(len(inputs), -1))


def build(dimensions=2):
    return Net(dimensions)
"""
BENCHMARK = """
id = "my-{modality}s"
version = 1
title = "My {modality}s"
task = "attribution"
reference = ["saliency"]
bootstrap = {{ replicates = 50 }}

[source]
kind = "arrays"
[[source.models]]
id = "small"
modality = "{modality}"
architecture = "cnn"
factory = {{ path = "factory.py" }}
arguments = {{ dimensions = {dimensions} }}
weights = {{ path = "weights.safetensors" }}
cam_layer = "features"
[[source.sets]]
id = "test"
modality = "{modality}"
file = {{ path = "{file}" }}
inputs = "{inputs}"
labels = "{labels}"
scale = 255.0
count = 8
seed = 0

[[metrics]]
id = "deletion"
[[metrics]]
id = "irof"
constants = {{ segments = 20 }}
[[metrics]]
id = "road"
constants = {{ percentages = [10, 50, 90] }}
[[metrics]]
id = "max_sensitivity"
constants = {{ draws = 3 }}
[[metrics]]
id = "complexity"

[[studies]]
id = "test"
samples = "test"
models = ["small"]
metrics = ["deletion", "irof", "road", "max_sensitivity", "complexity"]
group = "test"
"""
METHOD = """
from harness import explainer

@explainer(version="1", modalities=("image", "volume"), architectures=("cnn",))
def mine(model, inputs, targets, context):
    seen = []
    handle = context.cam_layer.register_forward_hook(lambda module, given, out: seen.append(out))
    logits = model(inputs)
    handle.remove()
    import torch
    (slopes,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), seen[0])
    cam = (slopes.flatten(2).mean(2)[(..., *[None] * (inputs.ndim - 2))] * seen[0]).sum(1, keepdim=True).relu()
    return torch.nn.functional.interpolate(cam, inputs.shape[2:]).detach()
"""


def file(name: str) -> Path:
    path = SHARED / "data" / "medmnist" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; HARNESS_SHARED names the folder that has data/medmnist")
    return path


def train(folder: Path, inputs: np.ndarray, labels: np.ndarray, steps: int) -> float:
    """A short training; returns the accuracy on what was trained on."""
    from safetensors.torch import save_file

    (folder / "factory.py").write_text(FACTORY)
    (folder / "mine.py").write_text(METHOD)
    scope: dict[str, object] = {}
    exec(FACTORY, scope)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = scope["build"](inputs.ndim - 1)  # type: ignore[operator]
    x, y = torch.from_numpy(inputs.astype(np.float32) / 255)[:, None], torch.from_numpy(labels.ravel().astype(np.int64))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimiser.step()
    save_file(network.state_dict(), folder / "weights.safetensors")
    with torch.inference_mode():
        return float((network(x).argmax(dim=1) == y).double().mean())


def scores(folder: Path, benchmark: str) -> dict[str, float]:
    (folder / "benchmark.toml").write_text(benchmark)
    result = harness.evaluate(folder / "mine.py", str(folder / "benchmark.toml"), out=folder / "runs", workers=1)
    assert [unit.status for unit in result.document.units] == ["ok"], result.failed
    assert not result.document.spec.submittable, "files without a pinned hash cannot enter a board"
    maps = next(iter(result.outputs().values()))["maps"]
    assert (maps >= 0).all()
    return {record.metric: record.value for record in result.document.units[0].records if record.value is not None}


def test_images_of_an_official_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    path = file("pneumoniamnist.npz")
    arrays = read_arrays(path)
    accuracy = train(tmp_path, arrays["train_images"], arrays["train_labels"], steps=400)
    assert accuracy > 0.85
    found = scores(
        tmp_path,
        BENCHMARK.format(modality="image", dimensions=2, file=path, inputs="test_images", labels="test_labels"),
    )
    assert set(found) == {"uniform_maps", "deletion", "irof", "road", "max_sensitivity", "complexity"}
    assert 0 <= found["deletion"] <= 1
    assert 0 < found["complexity"] <= np.log(28 * 28)


def test_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    volumes, labels = vessels(file("vesselmnist3d_64_samples.zip"))
    with (tmp_path / "vessels.npz").open("wb") as stream:
        np.savez(stream, inputs=volumes, labels=labels)
    train(tmp_path, volumes, labels, steps=30)
    found = scores(
        tmp_path,
        BENCHMARK.format(modality="volume", dimensions=3, file="vessels.npz", inputs="inputs", labels="labels"),
    )
    assert 0 < found["complexity"] <= np.log(16**3)
    assert 0 <= found["irof"] <= 1


def vessels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Volumes (20, 16, 16, 16) of 0 to 255, means over 4 x 4 x 4 voxels, and labels (20,) from the file names."""
    volumes, labels = [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            data = archive.read(name)  # NIfTI-1: shape, type and place of the voxels stand at fixed places
            shape, kind = struct.unpack("<8h", data[40:56])[1:4], struct.unpack("<h", data[70:72])[0]
            dtype = {2: np.uint8, 4: np.int16, 16: np.float32, 64: np.float64}[kind]
            start = int(struct.unpack("<f", data[108:112])[0])
            voxels = np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=start).reshape(shape).astype(float)
            small = voxels.reshape(16, 4, 16, 4, 16, 4).mean(axis=(1, 3, 5))
            volumes.append(255 * small / max(small.max(), 1e-9))
            labels.append(int("aneurysm" in name))
    return np.stack(volumes).astype(np.uint8), np.array(labels)
