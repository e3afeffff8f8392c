"""LATEC's protocol in small, by the whole way of a user: files as they are released, fetched, prepared, explained, scored."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from typer.testing import CliRunner

from harness.api import evaluate
from harness.cli.data import app
from harness.data.catalog import find_protocol, load_protocol
from harness.data.toml import read_extended
from harness.spec.attribution import AttributionBenchmark
from harness.tracks.attribution import zoo
from harness.tracks.attribution.sources import built, open_source

pytestmark = pytest.mark.usefixtures("in_this_process")

SET, NETWORK = "modelnet40", "modelnet40-pointnet"
METRICS = ("deletion", "sparseness", "max_sensitivity")


@pytest.fixture
def weights(tmp_path, monkeypatch) -> dict[str, torch.Tensor]:
    """What the two archives hold, as their makers lay it out, fetched from the user's disk and prepared."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    disk = tmp_path / "disk"
    disk.mkdir()
    state = _released(disk / "latec_model_weights.zip", tmp_path / "last.ckpt")
    _meshes(disk / "ModelNet40")  # unpacked: an archive of other bytes would be refused
    for name in (SET, "latec-weights"):
        _run("fetch", name, "--from", str(disk))
    _run("prepare", "attribution-latec@2", "--product", f"*/{SET}*.npz")
    _run("prepare", "latec-weights", "--product", f"*/{NETWORK}.safetensors")
    return state


def test_the_protocol_runs_on_released_files(tmp_path, weights):
    path = tmp_path / "benchmark.toml"
    _cut(path)
    result = evaluate("saliency", benchmark=str(path), limit=4, out=tmp_path / "runs", workers=1)
    (unit,) = result.document.units
    assert (unit.status, unit.reason, unit.model) == ("ok", "", NETWORK)
    (outputs,) = result.outputs().values()
    protocol = load_protocol(path)
    source = open_source(protocol)
    network = built(source, protocol.of(AttributionBenchmark).source.models[0], "cpu").network
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
    samples = source.samples(SET)
    assert samples.inputs.shape == (50, 3, 1024)
    rows = (np.arange(4) * 50) // 4
    inputs = torch.from_numpy(samples.inputs[rows]).requires_grad_()
    targets = torch.from_numpy(samples.targets[rows])
    network(inputs).gather(1, targets[:, None]).sum().backward()
    assert inputs.grad is not None
    np.testing.assert_allclose(np.abs(outputs["maps"]), inputs.grad.abs().numpy(), rtol=1e-4, atol=1e-6)
    assert {name.removeprefix("score.") for name in outputs if name.startswith("score.")} == set(METRICS)
    assert all(np.isfinite(outputs[f"score.{name}"]).all() for name in METRICS)


def _run(*arguments: str) -> None:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def _released(archive, checkpoint) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = zoo.pointnet(classes=40).state_dict()
    torch.save({"epoch": 3, "state_dict": {f"model.{name}": value for name, value in state.items()}}, checkpoint)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(checkpoint, "model_weights/ModelNet40/PointNet-epoch=3-val_Accuracy=0.9.ckpt")
    return dict(state)


def _meshes(folder) -> None:
    """Boxes of many proportions, in the classes of ModelNet40's folders."""
    rng = np.random.default_rng(0)
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    for number in range(62):
        box = corners * rng.uniform(0.2, 2, size=3)
        lines = ["OFF", f"8 {len(faces)} 0", *(" ".join(map(str, corner)) for corner in box)]
        lines += [" ".join(map(str, (3, *face))) for face in faces]
        name = ("chair", "bed")[number % 2]
        place = folder / name / ("train" if number < 2 else "test")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}_{number:04}.off").write_text("\n".join(lines) + "\n")


def _cut(path) -> None:
    """The frozen protocol with one study of one network and three metrics."""
    fields: dict[str, Any] = read_extended(find_protocol("attribution-latec@2").path)
    (study,) = (each for each in fields["studies"] if each["id"] == SET)
    fields["studies"] = [{**study, "models": [NETWORK], "metrics": list(METRICS)}]
    source = fields["source"]
    source["sets"] = [each for each in source["sets"] if each["id"] == SET]
    source["models"] = [each for each in source["models"] if each["id"] == NETWORK]
    fields["metrics"] = [
        {**use, "by_study": {name: value for name, value in use.get("by_study", {}).items() if name == SET}}
        for use in fields["metrics"]
        if use["id"] in METRICS
    ]
    fields |= {"id": "latec-miniature", "overall": ["faithfulness", "robustness", "complexity"]}
    path.write_text(tomli_w.dumps(fields))
