"""A user's benchmark over real volumes: 48 hippocampi of the Medical Segmentation Decathlon."""

from pathlib import Path

import numpy as np
import pytest

from harness.metrics.segmentation import mean_dice
from harness.tracks.query.campaign import Campaign, run_campaign
from harness.tracks.query.sampling import random_patches
from tests.tracks.query.segmentation.support import SHARED, needs, setting

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
epochs = 10
iterations = 20
validation_iterations = 1
features_per_stage = [8, 16, 32]
patch_size = [24, 32, 24]
batch_size = 2
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


def at_random(loop, offer):
    images = offer.meta["images"]
    names = [image["name"] for image in images]
    shapes = {image["name"]: image["shape"] for image in images}
    known = {image["name"]: [(tuple(c), tuple(s)) for c, s in image["annotated"]] for image in images}
    patches = random_patches(shapes, offer.meta["patch_size"], 10, np.random.default_rng(loop), known)
    return np.array([[names.index(patch.image), *patch.corner] for patch in patches])


def test_the_set_opens_as_it_is(study):
    learner = study.learner(12345, (), "cpu")
    names = {path.name.removesuffix(".nii.gz") for path in (SHARED / "data/hippocampus/labelsTr").glob("*.nii.gz")}
    assert set(learner._cases.pool) | set(learner._cases.held_out) == names
    assert len(learner._cases.held_out) == len(names) // 4
    assert learner._cases.classes == ("background", "Anterior", "Posterior")
    start = learner.start()
    assert start.shape == (10, 7)
    assert all((learner.effort([start])["patches"] >= 2).tolist())


@pytest.mark.slow
def test_a_random_campaign_learns_to_segment(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    told = []
    outputs = run_campaign(
        Campaign(2, 10),
        study.learner(12345, (), "cpu"),
        at_random,
        tmp_path / "desk",
        lambda what, share: told.append((what, share)),
    )
    dice = [mean_dice(counts) for counts in outputs["evaluation.counts"]]
    assert min(dice) > 0.3  # a network that finds nothing has 0
    assert Path(tmp_path / "desk/loop_001/summary.json").is_file()
    assert [share for _, share in told] == sorted(share for _, share in told)
