"""LATEC's archive of checkpoints becomes the files that `attribution-latec` names."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import load_file

from harness.data import prepare
from harness.data.catalog import find_protocol
from harness.data.toml import read_extended
from harness.spec.errors import UsageError
from harness.storage import UnsafeArtefactError
from harness.tracks.attribution import zoo
from harness.tracks.attribution.zoo.latec import CLASSES, WEIGHTS, convert_weights, make_weights


def test_the_files_and_classes_are_those_of_the_benchmark():
    named = {}
    for model in read_extended(find_protocol("attribution-latec").path)["source"]["models"]:
        name = model["weights"]["path"].removeprefix("attribution-latec/")
        named[name] = model["arguments"]["classes"]
        assert model["factory"].partition(":")[2] == name.removesuffix(".safetensors").partition("-")[2].replace(
            "-", "_"
        )
    assert set(named) == set(WEIGHTS)
    assert named == {name: CLASSES[name.split("-")[0]] for name in WEIGHTS}


@pytest.fixture
def archive(tmp_path):
    """Three networks as LATEC's archive has them: in Lightning checkpoints, with prefixes and PCT's weights twice."""
    torch.manual_seed(0)
    folder = tmp_path / "unpacked" / "model_weights" / "CoMA"
    folder.mkdir(parents=True)
    states = {name: getattr(zoo, name)(classes=12).state_dict() for name in ("pointnet", "dgcnn", "pct")}
    files = {"pointnet": "PointNet", "dgcnn": "DGCNN", "pct": "PCT"}
    for name, state in states.items():
        given = {f"model.{key}": value for key, value in state.items()}
        given |= {key.replace("k_conv", "q_conv"): value for key, value in given.items() if "k_conv" in key}
        path = folder / f"{files[name]}-epoch=99-val_F1=0.9867-val_Accuracy=0.9880.ckpt"
        torch.save({"epoch": 99, "state_dict": given, "hyper_parameters": {"lr": 0.1}}, path)
    torch.save({"state_dict": {"a": torch.ones(1)}}, folder / "PointNet2-epoch=99.ckpt")
    return tmp_path / "unpacked", states


@pytest.mark.parametrize("name", ["pointnet", "dgcnn", "pct"])
def test_weights_arrive_unchanged(tmp_path, archive, name):
    folder, states = archive
    target = tmp_path / f"coma-{name}.safetensors"
    make_weights(folder, target)
    written = load_file(target)
    assert written.keys() == states[name].keys()
    assert all(torch.equal(written[key], value) for key, value in states[name].items())
    getattr(zoo, name)(classes=12).load_state_dict(written)


def test_a_benchmark_finds_the_weights_that_were_prepared(tmp_path, archive, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepare, "dataset_folder", lambda manifest: archive[0])
    (job,) = prepare.jobs_for("attribution-latec@2", "*coma-dgcnn*")
    assert prepare.prepare(job, make_weights=make_weights)
    assert not prepare.prepare(job, make_weights=make_weights)
    assert find_protocol("attribution-latec@2").locate("attribution-latec/coma-dgcnn.safetensors") == job.path
    zoo.dgcnn(classes=12).load_state_dict(load_file(job.path))


def test_what_does_not_fit_is_not_written(tmp_path, archive):
    folder, _ = archive
    checkpoint = next(folder.rglob("DGCNN-*"))
    target = tmp_path / "shapenet-dgcnn.safetensors"
    with pytest.raises(
        UsageError, match=r"does not fit dgcnn with 16 classes: of another shape: linear3\.weight \(12, 256\)"
    ):
        convert_weights(checkpoint, target)
    assert not target.exists()


def test_weights_of_torchvision_for_imagenet(tmp_path):
    torch.manual_seed(0)
    state = zoo.resnet50(1000).state_dict()
    torch.save(state, tmp_path / "resnet50-0676ba61.pth")
    make_weights(tmp_path, tmp_path / "imagenet-resnet50.safetensors")
    assert torch.equal(load_file(tmp_path / "imagenet-resnet50.safetensors")["fc.weight"], state["fc.weight"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("coma-resnet50", "no file of weights is called"),
        ("imagenet-resnet50", r"must hold one checkpoint resnet50\*\.pth, but there is none"),
        ("oct-resnet50", r"must hold one checkpoint OCT/ResNet50-\*\.ckpt, but there is none"),
    ],
)
def test_what_is_not_there_has_a_sentence(tmp_path, archive, name, said):
    with pytest.raises(UsageError, match=said):
        make_weights(archive[0], tmp_path / f"{name}.safetensors")


def test_two_candidates_are_not_guessed_between(tmp_path, archive):
    folder = next(archive[0].rglob("PCT-*")).parent
    (folder / "PCT-epoch=1.ckpt").write_bytes(b"x")
    with pytest.raises(UsageError, match=re.escape("there are several: PCT-epoch=1.ckpt, PCT-epoch=99")):
        make_weights(archive[0], tmp_path / "coma-pct.safetensors")


def test_a_hostile_checkpoint_in_the_archive_is_refused(tmp_path, archive):
    class Call:
        def __reduce__(self):
            return eval, ("1",)

    path = next(archive[0].rglob("PCT-*"))
    torch.save({"state_dict": {}, "x": Call()}, path)
    with pytest.raises(UnsafeArtefactError, match="eval"):
        make_weights(archive[0], tmp_path / "coma-pct.safetensors")
    assert not (tmp_path / "coma-pct.safetensors").exists()
