"""Data sets that have no label in a part of their images: what can be bought, learned and scored there is nothing."""

import json
import shutil

import numpy as np
import pytest

from harness.metrics.segmentation import mean_dice, segmentation_counts
from harness.spec.errors import UsageError
from harness.tracks.query.campaign import Campaign, run_campaign
from harness.tracks.query.loop_files import read_loops
from harness.tracks.query.sampling import random_patches
from tests.tracks.query.segmentation.support import (
    balls,
    benchmark,
    boxed,
    changed,
    needs,
    opened,
    place,
    quiet,
    random_strategy,
    raw_folder,
    setting,
    write_header,
    write_volume,
)

needs("nnunetv2", "SimpleITK")

from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402
from harness.tracks.query.segmentation.prediction import Window  # noqa: E402
from harness.tracks.query.segmentation.trainer import deterministic  # noqa: E402

SHAPE, LABELLED = (16, 18, 20), 9
"""Planes above are marked to be ignored, with 3 in even rows and 250 in odd ones."""


def partly(number):
    labels = balls(SHAPE, number)[1]
    labels[LABELLED:, ::2], labels[LABELLED:, 1::2] = 3, 250
    return labels


def truth(number):
    labels = partly(number).astype(int)
    return np.where(labels >= 3, -1, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of case_7 nothing is labelled."""
    folder = raw_folder(tmp_path_factory.mktemp("data") / "raw", cases=9)
    for number in range(9):
        labels = partly(number) if number != 7 else np.full(SHAPE, 250, dtype=np.uint8)
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", labels)
    write_header(folder, labels={"background": 0, "shell": 1, "core": 2, "ignore": [3, 250]})
    split = {"pool": [f"case_{n}" for n in (0, 1, 2, 3, 4, 7, 8)], "validation": ["case_5", "case_6"]}
    (folder.parent / "split.json").write_text(json.dumps(split))
    return folder.parent


@pytest.fixture(scope="module")
def volumes(folder):
    return setting(benchmark(folder, 'cases = { path = "split.json" }'))


@pytest.fixture(scope="module")
def learner(volumes):
    return SegmentationLearner(volumes, 1, (), "cpu")


@pytest.fixture(scope="module")
def trained(learner):
    picks = [learner.start()]
    return picks, [learner.train(0, number, picks, quiet) for number in range(2)]


@pytest.fixture
def pool(learner, trained, tmp_path):
    return opened(learner.offer(0, trained[1], trained[0], tmp_path, oracle=False))


def test_ignored_voxels_are_counted_for_no_class(learner):
    cases = learner._cases
    assert cases.classes == ("background", "shell", "core")
    for name in (*cases.pool, *cases.held_out):
        known = truth(int(name[-1])) if name != "case_7" else np.full(SHAPE, -1)
        assert np.array_equal(cases.labels(name), known)
        assert cases.counts[name].tolist() == [(known == label).sum() for label in range(3)]


def test_a_single_ignore_label(tmp_path):
    folder = raw_folder(tmp_path / "raw")
    for number in range(8):
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", np.where(truth(number) < 0, 3, truth(number)))
    write_header(folder, labels={"background": 0, "shell": 1, "core": 2, "ignore": 3})
    learner = SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")
    assert all(np.array_equal(learner._cases.labels(f"case_{number}"), truth(number)) for number in range(8))


def test_a_label_that_is_neither_known_nor_ignored(folder, tmp_path):
    shutil.copytree(folder / "raw", tmp_path / "raw")
    write_header(tmp_path / "raw", labels={"background": 0, "shell": 1, "core": 2, "ignore": 3})
    with pytest.raises(UsageError, match=r"has the label 250; .* knows the labels 0 to 2, and 3 to be ignored"):
        SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")


def test_ignored_voxels_stay_so_in_another_spacing(tmp_path):
    """A volume of half the step along z: planes are merged by two, the labelled ones and the ignored ones."""
    folder = raw_folder(tmp_path / "raw")
    fine = np.repeat(np.where(truth(0) < 0, 3, truth(0)), 2, axis=0)
    write_volume(folder / "imagesTr/case_0_0000.nii.gz", np.repeat(balls(SHAPE, 0)[0], 2, axis=0), (0.5, 1, 1))
    write_volume(folder / "labelsTr/case_0.nii.gz", fine, (0.5, 1, 1))
    write_header(folder, labels={"background": 0, "shell": 1, "core": 2, "ignore": 3})
    learner = SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")
    assert np.array_equal(learner._cases.labels("case_0"), truth(0))


def test_every_patch_of_a_start_shows_labels(learner, volumes):
    for seed in range(5):
        for row in SegmentationLearner(volumes, seed, (), "cpu").start():
            assert (learner._cases.labels(learner._cases.pool[row[0]])[boxed(row)] >= 0).any()


def test_a_patch_of_ignored_voxels_alone_cannot_be_bought(learner):
    first = place(learner, "case_0")
    assert learner.parse(np.array([[first, LABELLED - 1, 0, 0]]), [], 1).tolist() == [[0, LABELLED - 1, 0, 0, 6, 6, 6]]
    for row in ([first, LABELLED, 0, 0], [place(learner, "case_7"), 0, 0, 0]):  # above the labels, and no labels
        with pytest.raises(ValueError, match="holds only voxels that the data set marks to be ignored"):
            learner.parse(np.array([row]), [], 1)


def test_a_pinned_start_of_ignored_voxels_alone(learner, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    rows = [{"file": f"case_{n}.nii.gz", "coords": [LABELLED, 0, 0], "size": [6, 6, 6]} for n in range(5)]
    rows.append({"file": "case_0.nii.gz", "coords": [0, 0, 0], "size": [6, 6, 6]})
    (tmp_path / "starts.json").write_text(json.dumps({"1": {"patches": rows}}))
    study = setting(benchmark(tmp_path, 'cases = { path = "split.json" }', study='starts = { path = "starts.json" }'))
    with pytest.raises(UsageError, match=r"no valid one: the patch at .* marks to be ignored"):
        SegmentationLearner(study, 1, (), "cpu").start()


def test_the_effort_counts_labelled_voxels_alone(learner):
    picks = [learner.start(), np.array([[2, LABELLED - 3, 6, 6, 6, 6, 6]])]
    voxels, patches = np.zeros(3, int), np.zeros(3, int)
    for row in np.concatenate(picks):
        box = truth(int(learner._cases.pool[row[0]][-1]))[boxed(row)]
        voxels += [(box == label).sum() for label in range(3)]
        patches += [(box == label).any() for label in range(3)]
    effort = learner.effort(picks)
    assert effort["voxels"].tolist() == voxels.tolist()
    assert effort["patches"].tolist() == patches.tolist()
    assert effort["total_patches"] == 7
    whole = np.sum([[(truth(n) == label).sum() for label in range(3)] for n in (0, 1, 2, 3, 4, 8)], axis=0)
    assert effort["pool_voxels"].tolist() == whole.tolist()


def test_training_sees_no_label_in_ignored_voxels(learner):
    """Where a bought patch reaches into them, nnU-Net's own ignore label stands, as outside of patches."""
    picks = [np.array([[2, LABELLED - 3, 6, 6, 6, 6, 6]])]
    ((name, boxes),) = learner.ledger.boxes(picks).items()
    prepared = learner._prepare(learner._planned(picks), name, boxes)
    expected = np.full(SHAPE, 3)
    expected[LABELLED - 3 : LABELLED, 6:12, 6:12] = truth(2)[LABELLED - 3 : LABELLED, 6:12, 6:12]
    assert np.array_equal(prepared.labels[0], expected)
    annotated = prepared.class_locations[(-1, 0, 1, 2)]
    assert annotated[:, 1].max() == LABELLED - 1


def test_dice_leaves_ignored_voxels_out(learner, trained):
    picks, networks = trained
    counts = learner.evaluate(0, networks, picks)["counts"]
    plan = learner._planned(picks)
    with deterministic(0):
        window = Window(plan, "cpu", learner._training.validation_window_step)
        for name, rows in zip(learner._cases.held_out, counts, strict=True):
            case = plan.network_input(learner._cases.image(name))
            predicted = np.mean([window.probabilities(case, each) for each in networks], axis=0).argmax(axis=0)
            known, labels = truth(int(name[-1])) >= 0, truth(int(name[-1]))
            for label, (tp, fp, fn, tn) in enumerate(rows):
                assert tp == ((predicted == label) & (labels == label)).sum()
                assert fp == ((predicted == label) & (labels != label) & known).sum()
                assert fn == ((predicted != label) & (labels == label)).sum()
                assert tp + fp + fn + tn == known.sum()


def test_the_offer_says_where_labels_can_be_bought(pool, trained, learner):
    boxes = learner.ledger.boxes(trained[0])
    for image in pool.images:
        name = learner.ledger.shown[image.name]
        known = truth(int(name[-1])) if name != "case_7" else np.full(SHAPE, -1)
        assert np.array_equal(image.annotatable, known >= 0)
        seen = np.full(SHAPE, -1)
        for corner, size in boxes.get(name, []):
            box = tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))
            seen[box] = known[box]
        assert np.array_equal(image.labels, seen)


def test_images_that_are_labelled_in_full_are_annotatable_everywhere(tmp_path):
    raw_folder(tmp_path / "raw")
    learner = SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")
    offer = learner.offer(0, [], [learner.start()], tmp_path, oracle=False)
    assert not list(tmp_path.glob("*.annotatable.npy"))
    assert all(image.annotatable.all() and image.annotatable.shape == SHAPE for image in opened(offer).images)


def bought(learner, pool, patches):
    """Whether each patch has a labelled voxel."""
    size = pool.patch_size
    for shown, corner in patches:
        name = learner.ledger.shown[shown]
        box = tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))
        yield name != "case_7" and bool((truth(int(name[-1]))[box] >= 0).any())


def test_random_patches_always_show_labels(learner, pool):
    for seed in range(30):
        patches = pool.random(12, np.random.default_rng(seed))
        assert all(bought(learner, pool, patches))


def test_the_harness_own_oracles_draw_patches_that_show_labels(learner, trained, tmp_path):
    offer = learner.offer(0, trained[1], trained[0], tmp_path, oracle=True)
    for seed in range(10):
        pool = opened(offer, oracle=True)
        assert all(bought(learner, pool, pool.random(12, np.random.default_rng(seed), foreground=1 / 3)))


def test_every_place_that_shows_labels_is_equally_likely():
    """Places of patches of 1 x 2 in a row of seven, of which the middle three are ignored: all but 3 and 4."""
    mask = np.array([[True, True, False, False, False, True, True]])
    drawn = [
        random_patches({"a": (1, 7)}, (1, 2), 1, np.random.default_rng(seed), None, {"a": mask})[0].corner[1]
        for seed in range(3000)
    ]
    counts = np.bincount(drawn, minlength=6)
    allowed = [place for place in range(6) if mask[0, place : place + 2].any()]
    assert allowed == [0, 1, 4, 5]
    assert sorted(set(drawn)) == allowed
    assert np.all(np.abs(counts[allowed] - 750) < 5 * np.sqrt(750))


def test_the_best_patches_are_the_best_of_those_that_show_labels(learner, pool):
    """A score that is highest where nothing is labelled; patches of a stride of two."""
    height = np.arange(SHAPE[0], dtype=float)[:, None, None] * np.ones(SHAPE)
    patches = pool.best(lambda probabilities: height, 5, np.random.default_rng(0))
    assert all(bought(learner, pool, patches))
    # The highest corner that is a multiple of the stride and still reaches below LABELLED.
    assert {corner[0] for _, corner in patches} == {8}


def test_an_answer_of_a_strategy_that_does_not_look(learner, trained, tmp_path):
    from harness.methods.client import MethodError

    number = place(learner, "case_7")  # where nothing is labelled

    def ask(loop, offer):
        return np.array([[number, 0, 0, 0], [number, 6, 0, 0], [number, 0, 6, 0]])

    said = rf"of image 'image-000{number}' \(case_7\) holds only voxels .* marks to be ignored; ask for patches"
    with pytest.raises(MethodError, match=rf"query 1 of 1: the patch at .* {said}"):
        run_campaign(Campaign(2, 3), learner, ask, tmp_path, quiet)


def test_a_campaign_and_its_loop_files(learner, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    outputs = run_campaign(Campaign(2, 3), learner, random_strategy, tmp_path / "desk", quiet)
    loops = read_loops(tmp_path / "desk")
    assert [len(loop) for loop in loops] == [6, 3]
    for patch in (patch for loop in loops for patch in loop):
        box = tuple(slice(low, low + extent) for low, extent in zip(patch.corner, patch.size, strict=True))
        assert (truth(int(patch.image[-1]))[box] >= 0).any()
    known = [(truth(n) >= 0).sum() for n in (5, 6)]
    assert (outputs["evaluation.counts"].sum(axis=3) == np.array(known)[None, :, None]).all()
    summary = json.loads((tmp_path / "desk/loop_001/summary.json").read_text())
    assert summary["foreground_mean"]["Dice"] == pytest.approx(mean_dice(outputs["evaluation.counts"][1]), nan_ok=True)


@pytest.mark.parametrize(
    ("study", "words"),
    [({"query": 19}, "more than 3 of each of the 6 images with labels"), ({"query": 400}, "at most")],
)
def test_budgets_that_the_labelled_part_does_not_have(volumes, study, words):
    with pytest.raises(UsageError, match=words):
        SegmentationLearner(changed(volumes, study=study), 1, (), "cpu")


def test_held_out_cases_without_any_label(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    split = {"pool": [f"case_{n}" for n in range(7)], "validation": ["case_7"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(UsageError, match="no held-out case has any label"):
        SegmentationLearner(setting(benchmark(tmp_path, 'cases = { path = "split.json" }')), 1, (), "cpu")


def test_a_case_without_any_label_has_no_dice():
    counts = segmentation_counts(np.ones((2, 3), dtype=int), np.full((2, 3), -1), 3, ignore=-1)
    assert (counts == 0).all()
    other = segmentation_counts(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), 3)
    # Dice 2 / 3 of both classes, of the other case alone.
    assert mean_dice(np.stack([counts, other])) == pytest.approx(2 / 3)


def test_full_annotation_leaves_out_cases_without_any_label(learner):
    picks = learner.ledger.everything()
    assert sorted(learner.ledger.boxes([picks])) == [f"case_{n}" for n in (0, 1, 2, 3, 4, 8)]
    assert learner.effort([picks])["voxels"].tolist() == learner.effort([picks])["pool_voxels"].tolist()


def test_a_class_that_is_ignored_nearly_everywhere(tmp_path):
    folder = raw_folder(tmp_path / "raw")
    for number in range(1, 8):
        labels = balls(SHAPE, number)[1]
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", np.where(labels == 2, 3, labels))
    write_header(folder, labels={"background": 0, "shell": 1, "core": 2, "ignore": 3})
    with pytest.raises(UsageError, match=r"class 2 \(core\) is in [01] of the 6 pool images"):
        SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")
