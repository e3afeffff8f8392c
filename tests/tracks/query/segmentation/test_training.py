"""What our trainer changes in nnU-Net's: the crops, the loss, and where its randomness comes from."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tracks.query.segmentation.support import benchmark, needs, raw_folder, setting

needs("nnunetv2", "SimpleITK")
torch = pytest.importorskip("torch")

from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402
from harness.tracks.query.segmentation.plans import make_plan, nnunet_folders  # noqa: E402
from harness.tracks.query.segmentation.trainer import (  # noqa: E402
    PreparedCase,
    SparseLoader,
    SparseTrainer,
    Split,
    _Cases,
    deterministic,
)


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    raw_folder(folder / "raw")
    return SegmentationLearner(setting(benchmark(folder)), 1, (), "cpu")


@pytest.fixture(scope="module")
def plan(learner):
    return learner._planned([learner.start()])


def loader(shape, places, patch, final=None):
    """A loader of one case of which `places` (n, 3) are annotated."""
    labels = SimpleNamespace(all_labels=[0, 1], has_ignore_label=True)
    located = {(-1, 0, 1): np.pad(places, ((0, 0), (1, 0))), 1: np.empty((0, 4), dtype=int)}
    case = PreparedCase(np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.int16), located)
    found = SparseLoader(_Cases({"case": case}), 1, patch, final or patch, labels)
    return found, located


@pytest.mark.parametrize("patch", [(8, 8, 8), (5, 7, 4)])
def test_every_crop_shows_annotated_voxels_but_not_always_in_its_middle(patch):
    shape = (20, 24, 16)
    rng = np.random.default_rng(0)
    places = rng.integers((8, 8, 6), (11, 11, 9), size=(30, 3))
    crops, located = loader(shape, places, patch)
    offsets = []
    with deterministic(0):
        for _ in range(1000):
            low, high = crops.get_bbox(shape, False, located)
            assert [end - start for start, end in zip(low, high, strict=True)] == list(patch)
            inside = ((places >= low) & (places < high)).all(axis=1)
            assert inside.any()
            offsets.append(places[inside][0] - low)
    # A single voxel may be anywhere in the crop, as often as anywhere else.
    single = np.array([[10, 12, 8]])
    crops, located = loader(shape, single, patch)
    with deterministic(0):
        at = np.array([single[0] - crops.get_bbox(shape, False, located)[0] for _ in range(3000)])
    for axis, extent in enumerate(patch):
        counts = np.bincount(at[:, axis], minlength=extent)
        assert len(counts) == extent
        assert np.all(np.abs(counts - 3000 / extent) < 5 * np.sqrt(3000 / extent))


def test_crops_at_the_border_of_the_image_show_annotated_voxels():
    shape = (12, 12, 12)
    for corner in ([0, 0, 0], [11, 11, 11], [0, 11, 5]):
        crops, located = loader(shape, np.array([corner]), (10, 10, 10), (8, 8, 8))
        with deterministic(0):
            for _ in range(200):
                low, high = crops.get_bbox(shape, False, located)
                # The network sees the middle: 8 of 10 voxels.
                assert all(start + 1 <= at < end - 1 for start, at, end in zip(low, corner, high, strict=True))


def test_foreground_and_empty_cases_go_nnunets_own_way():
    shape = (20, 20, 20)
    crops, located = loader(shape, np.array([[10, 10, 10]]), (8, 8, 8))
    located[1] = np.array([[0, 4, 5, 6]])
    with deterministic(0):
        assert crops.get_bbox(shape, True, located)[0] == [0, 1, 2]
        located[(-1, 0, 1)] = np.empty((0, 4), dtype=int)
        with pytest.warns(UserWarning, match="No annotated pixels"):
            crops.get_bbox(shape, False, located)


def trainer(plan, learner, tmp_path):
    case = PreparedCase(np.zeros((1, 16, 16, 16), np.float32), np.zeros((1, 16, 16, 16), np.int16), {})
    with nnunet_folders(tmp_path):
        found = SparseTrainer.of(plan, learner._training, Split({"a": case}, {"a": case}), "cpu")
        found.initialize()
    return found


def test_the_loss_is_dice_without_smoothing_and_cross_entropy_of_known_voxels(plan, learner, tmp_path):
    loss = trainer(plan, learner, tmp_path).loss.loss
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 4, 4, 4)).astype(np.float32)
    labels = rng.integers(0, 4, size=(2, 1, 4, 4, 4))  # 3 is unknown
    labels[0][labels[0] == 2] = 0  # no core in the first
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dice, entropy = [], []
    for p, y in zip(softmax, labels[:, 0], strict=True):
        known = y != 3
        for c in (1, 2):
            dice.append(2 * (p[c] * (y == c))[known].sum() / (p[c][known].sum() + (y == c).sum()))
        entropy += [-np.log(p[y[at]][at]) for at in zip(*np.nonzero(known), strict=True)]
    assert dice[1] == 0
    found = loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(np.mean(entropy) - np.mean(dice), rel=1e-5)


def test_a_crop_without_a_known_voxel_teaches_nothing(plan, learner, tmp_path):
    loss = trainer(plan, learner, tmp_path).loss.loss
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    loss(logits, torch.full((2, 1, 4, 4, 4), 3)).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_training_leaves_the_volumes_as_they_were(learner):
    picks = [learner.start()]
    plan = learner._planned(picks)
    cases = {name: learner._prepare(plan, name, boxes) for name, boxes in learner.ledger.boxes(picks).items()}
    before = {name: (case.image.copy(), case.labels.copy()) for name, case in cases.items()}
    learner.train(0, 0, picks, lambda *_: None)
    for name, (image, labels) in before.items():
        assert np.array_equal(cases[name].image, image)
        assert np.array_equal(cases[name].labels, labels)


def test_only_known_labels_are_trained_on(learner):
    picks = [learner.start()]
    plan = learner._planned(picks)
    for name, boxes in learner.ledger.boxes(picks).items():
        labels = learner._prepare(plan, name, boxes).labels[0]
        known = np.zeros(labels.shape, dtype=bool)
        for corner, size in boxes:
            known[tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))] = True
        assert (labels[~known] == 3).all()
        assert np.array_equal(labels[known], learner._cases.labels(name)[known])


def test_other_random_numbers_are_left_alone():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    with deterministic(1):
        inside = random.random(), np.random.random(), torch.rand(1).item()
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected
    with deterministic(1):
        assert (random.random(), np.random.random(), torch.rand(1).item()) == inside


def test_the_environment_is_as_it_was_before(tmp_path, monkeypatch):
    import os

    monkeypatch.setenv("nnUNet_raw", "mine")
    monkeypatch.delenv("nnUNet_results", raising=False)
    with nnunet_folders(tmp_path):
        assert dict(os.environ)["nnUNet_results"].startswith(str(tmp_path))
    assert dict(os.environ)["nnUNet_raw"] == "mine"
    assert "nnUNet_results" not in os.environ


def test_no_step_of_augmentation_is_chosen_by_a_clock(plan, learner, tmp_path):
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform

    loaders = trainer(plan, learner, tmp_path).get_dataloaders()
    blurs = [getattr(each, "transform", each) for each in loaders[0].transforms.transforms]
    blurs = [each for each in blurs if isinstance(each, GaussianBlurTransform)]
    assert blurs
    assert not any(each.benchmark for each in blurs)


def test_the_plan_is_that_of_the_protocol(plan, learner):
    assert plan.patch_size == (16, 16, 16)
    network = plan.configuration.network_arch_init_kwargs
    assert list(network["features_per_stage"]) == [4, 4, 4]
    assert plan.labels.ignore_label == 3
    assert plan.configuration.batch_size == 2


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"features_per_stage": (4, 4, 4, 4, 4)}, ["names 5 stages", "allows 3"]),
        ({"features_per_stage": (4, 4)}, ["too shallow"]),
        ({"patch_size": (16, 16)}, ["three numbers"]),
        ({"patch_size": (8, 8, 8), "features_per_stage": None}, ["too shallow"]),
    ],
)
def test_constants_that_do_not_fit_the_plan(learner, training, words):
    from harness.spec.errors import UsageError

    with pytest.raises(UsageError) as caught:
        make_plan(learner._cases, lambda name: learner._known(name, []), learner._training.model_copy(update=training))
    assert all(word in str(caught.value) for word in words)
