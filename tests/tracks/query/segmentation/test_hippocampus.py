"""A user's benchmark over real volumes: 48 hippocampi of the Medical Segmentation Decathlon."""

import json
import shutil

import numpy as np
import pytest

from harness.execution.evaluate import Request, evaluate
from harness.metrics.segmentation import mean_dice
from harness.tracks.query.learners import open_learner
from tests.tracks.query.segmentation.support import SHARED, boxed, needs, setting

needs("nnunetv2", "SimpleITK")

BENCHMARK = """
schema_version = 1
id = "my-hippocampus"
version = 1
title = "Hippocampus with a small network"
task = "query"
performance = "dice"
seeds = [12345]

[[source.datasets]]
kind = "nnunet-raw"
id = "hippocampus"
folder = "Dataset004_Hippocampus"

[[trainings]]
kind = "nnunet"
id = "small"
folds = 2
epochs = 20
iterations = 20
learning_rate = 0.05
momentum = 0.9
validation_iterations = 1
features_per_stage = [8, 16, 32, 64]
patch_size = [32, 48, 32]
batch_size = 2
mirroring = false
mirrored_predictions = false

[[studies]]
id = "low"
group = "hippocampus"
dataset = "hippocampus"
training = "small"
start_rule = "all-classes"
start = 10
query = 10
loops = 2
full_performance = 0.858
patches = { size = [20, 20, 20], stride = [1, 1, 1], max_per_image = 20 }
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    data = SHARED / "data" / "hippocampus"
    if not (data / "dataset.json").is_file():
        pytest.skip(f"{data} is not here; HARNESS_SHARED names the folder that has data/hippocampus")
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "Dataset004_Hippocampus").symlink_to(data)
    (folder / "benchmark.toml").write_text(BENCHMARK)
    return setting(folder / "benchmark.toml")


def test_the_set_opens_as_it_is(study):
    learner = open_learner(study, 12345)
    names = {path.name.removesuffix(".nii.gz") for path in (SHARED / "data/hippocampus/labelsTr").glob("*.nii.gz")}
    assert set(learner._cases.pool) | set(learner._cases.held_out) == names
    assert len(learner._cases.held_out) == len(names) // 4
    assert learner._cases.classes == ("background", "Anterior", "Posterior")
    start = learner.start()
    assert start.shape == (10, 7)
    assert all((learner.effort([start])["patches"] >= 2).tolist())


def voxels(name):
    """The values of a label file, read by another library."""
    import nibabel

    return np.asarray(nibabel.load(SHARED / "data/hippocampus/labelsTr" / f"{name}.nii.gz").dataobj)


def with_header(study, tmp_path, **changes):
    """The same files under another dataset.json, and the learner of a study on them."""
    source, folder = SHARED / "data" / "hippocampus", tmp_path / "Dataset004_Hippocampus"
    folder.mkdir()
    for part in ("imagesTr", "labelsTr"):
        (folder / part).symlink_to(source / part)
    header = {**json.loads((source / "dataset.json").read_text()), **changes}
    kept = {name: value for name, value in header.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(kept))
    shutil.copy(study.protocol.path, tmp_path)
    return open_learner(setting(tmp_path / "benchmark.toml"), 12345)


def test_both_parts_as_regions(study, tmp_path):
    labels = {"background": 0, "hippocampus": [1, 2], "posterior": 2}
    learner = with_header(study, tmp_path, labels=labels, regions_class_order=[1, 2])
    assert learner._cases.regions == (("hippocampus", (1, 2), (1, 2), 1), ("posterior", (2,), (2,), 2))
    counts = sum(np.bincount(voxels(name).astype(int).ravel(), minlength=3) for name in learner._cases.pool)
    assert learner.effort([learner.start()])["pool_voxels"].tolist() == counts.tolist()
    plan = learner._planned([learner.start()])
    assert plan.labels.foreground_regions == [(1, 2), (2,)]


def test_the_posterior_part_ignored(study, tmp_path):
    learner = with_header(study, tmp_path, labels={"background": 0, "Anterior": 1, "ignore": 2})
    for name in learner._cases.pool[:5]:
        true = voxels(name).astype(int).transpose()
        assert np.array_equal(learner._cases.labels(name), np.where(true == 2, -1, true))
    for row in learner.start():
        assert (learner._cases.labels(learner._cases.pool[row[0]])[boxed(row)] >= 0).any()


def test_the_decathlons_own_header(study, tmp_path):
    names = sorted(path.name for path in (SHARED / "data/hippocampus/labelsTr").glob("*.nii.gz"))
    learner = with_header(
        study,
        tmp_path,
        channel_names=None,
        file_ending=None,
        modality={"0": "MRI"},
        labels={"0": "background", "1": "Anterior", "2": "Posterior"},
        training=[{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        test=[],
    )
    expected = open_learner(study, 12345)
    assert learner._cases.identity == expected._cases.identity
    assert np.array_equal(learner.start(), expected.start())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_campaigns_learn_to_segment_and_have_an_efficiency(study, tmp_path, monkeypatch):
    """Random and predictive entropy by the whole way of a user: minutes of training, of which both share the start."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    benchmark = str(study.protocol.path)
    for method in ("random-sampling", "predictive-entropy"):
        result = evaluate(Request(method, benchmark, out=tmp_path / "runs", device="cpu", workers=1))
        assert result.complete, [unit.reason for unit in result.document.units]
        (outputs,) = result.outputs().values()
        dice = [mean_dice(counts) for counts in outputs["evaluation.counts"]]
        assert min(dice) > 0.6  # a network that finds nothing has 0
        scores = {row.metric: row.value for row in result.document.summary if row.study == "low"}
        assert scores["foreground_efficiency"] is not None  # one seed: it may well be negative
        assert not (result.folder / "under-way").exists()
