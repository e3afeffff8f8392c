"""The learner against its contract, and whole campaigns of real nnU-Net with next to no training."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harness.metrics.segmentation import mean_dice, segmentation_counts
from harness.spec.errors import UsageError
from harness.tracks.query.campaign import Campaign, run_campaign
from harness.tracks.query.loop_files import read_loops
from harness.tracks.query.sampling import random_patches
from harness.tracks.query.segmentation.kept import kept_segmentation
from tests.tracks.query.segmentation.support import (
    balls,
    benchmark,
    changed,
    needs,
    place,
    raw_folder,
    setting,
    write_volume,
)

needs("nnunetv2", "SimpleITK")

from harness.tracks.query.segmentation import learner as module  # noqa: E402
from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402
from harness.tracks.query.segmentation.plans import NetworkPlan  # noqa: E402


def quiet(what, share):
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    raw_folder(folder / "raw")
    return setting(benchmark(folder))


@pytest.fixture(scope="module")
def learner(volumes):
    return SegmentationLearner(volumes, 1, (), "cpu")


@pytest.fixture(scope="module")
def trained(learner):
    """The start, and the networks trained on it."""
    picks = [learner.start()]
    return picks, [learner.train(0, number, picks, quiet) for number in range(2)]


def random_strategy(loop, offer):
    rng = np.random.default_rng(loop)
    images = offer.meta["images"]
    shapes = {image["name"]: image["shape"] for image in images}
    known = {image["name"]: [(tuple(c), tuple(s)) for c, s in image["annotated"]] for image in images}
    names = [image["name"] for image in images]
    return np.array(
        [[names.index(p.image), *p.corner] for p in random_patches(shapes, offer.meta["patch_size"], 3, rng, known)]
    )


def test_a_campaign_from_start_to_end(learner, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    outputs = run_campaign(Campaign(2, 3), learner, random_strategy, tmp_path / "desk", quiet)
    assert outputs["picks.0"].shape == (6, 7)
    assert outputs["picks.1"].shape == (3, 7)
    counts = outputs["evaluation.counts"]
    assert counts.shape == (2, 2, 3, 4)
    assert (counts.sum(axis=3) == 16 * 18 * 20).all()
    for loop in range(2):
        truth = [learner._cases.counts[name] for name in learner._cases.held_out]
        assert (counts[loop][..., 0] + counts[loop][..., 2] == truth).all()
    assert len(read_loops(tmp_path / "desk")) == 2
    assert [len(loop) for loop in read_loops(tmp_path / "desk")] == [6, 3]
    summary = json.loads((tmp_path / "desk/loop_001/summary.json").read_text())
    dice = summary["foreground_mean"]["Dice"]
    assert dice == pytest.approx(mean_dice(counts[1])) or (dice is None and np.isnan(mean_dice(counts[1])))
    assert {"mean", "metric_per_case"} < set(summary)
    assert capfd.readouterr() == ("", "")


def test_the_same_call_gives_the_same_weights_whatever_ran_before(learner, volumes, trained):
    picks, networks = trained
    np.random.seed(3)
    again = SegmentationLearner(volumes, 1, (), "cpu")
    assert again.identity == learner.identity
    assert np.array_equal(again.start(), picks[0])
    other = again.train(0, 1, picks, quiet)
    assert set(other) == set(networks[1])
    assert all(np.array_equal(other[name], networks[1][name]) for name in other)
    assert any(not np.array_equal(networks[0][name], networks[1][name]) for name in other)
    counts = [each.evaluate(0, networks, picks)["counts"] for each in (learner, again)]
    assert np.array_equal(*counts)


def test_what_networks_predict_is_kept_as_it_was_scored(volumes, trained, tmp_path):
    picks, networks = trained
    learner = SegmentationLearner(volumes, 1, (), "cpu", tmp_path / "kept")
    counts = learner.evaluate(0, networks, picks)["counts"]
    for number, name in enumerate(learner.ledger.cases.held_out):
        kept = kept_segmentation(tmp_path / "kept", number)
        assert np.array_equal(segmentation_counts(kept, learner.ledger.cases.labels(name), 3), counts[number])


def test_what_a_training_depends_on_shows_in_its_identity(volumes, learner):
    others = [
        SegmentationLearner(volumes, 2, (), "cpu"),
        SegmentationLearner(changed(volumes, training={"epochs": 2}), 1, (), "cpu"),
    ]
    assert len({learner.identity, *(other.identity for other in others)}) == 3
    # Neither what strategies see nor how much is bought changes a training.
    same = SegmentationLearner(changed(volumes, study={"query": 2}), 1, ("features",), "cpu")
    assert same.identity == learner.identity


def test_training_tells_how_far_it_is(learner, trained):
    told = []
    learner.train(0, 0, trained[0], lambda what, share: told.append((what, share)))
    assert len(told) == 1
    assert told[0][0].startswith("epoch 1 of 1")
    assert told[0][1] == 1


def test_the_offer_is_what_the_contract_says(volumes, trained, tmp_path):
    picks, networks = trained
    learner = SegmentationLearner(volumes, 1, ("features", "inputs", "names"), "cpu")
    offer = learner.offer(0, networks, picks, tmp_path, oracle=False)
    assert offer.meta["task"] == "segmentation"
    assert offer.meta["classes"] == 3
    assert Path(offer.meta["folder"]) == tmp_path
    boxes = learner.ledger.boxes(picks)
    for number, image in enumerate(offer.meta["images"]):
        name, shape = image["source"], tuple(image["shape"])
        assert (image["name"], shape) == (f"image-000{number}", (16, 18, 20))
        assert offer.names[image["name"]] == name
        assert [(tuple(c), tuple(s)) for c, s in image["annotated"]] == boxes.get(name, [])
        probabilities = np.load(tmp_path / f"{number}.probabilities.npy")
        assert probabilities.shape == (2, 3, *shape)
        assert probabilities.dtype == np.float32
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        assert not np.array_equal(probabilities[0], probabilities[1])
        seen = np.load(tmp_path / f"{number}.image.npy")
        raw = learner._cases.image(name)
        assert np.allclose(seen, (raw - raw.mean()) / raw.std(), atol=1e-4)  # nnU-Net's rule for all but CT
        features = np.load(tmp_path / f"{number}.features.npy")
        assert features.shape == (2 * 4, 8, 9, 10)  # two networks, the stage of stride 2
        assert np.isfinite(features).all()
    assert sorted(offer.names.values()) == list(learner._cases.pool)
    assert json.dumps(offer.meta)


def test_neither_names_nor_files_tell_which_volume_is_which(volumes, learner, trained, tmp_path):
    """Times at which files were written, and their places on the disk, follow the order in which volumes are shown."""
    picks, networks = trained
    offer = learner.offer(0, networks, picks, tmp_path, oracle=False)
    assert not any(name in json.dumps(offer.meta) for name in learner._cases.pool)
    for part in ("probabilities", "labels"):
        written = [(tmp_path / f"{number}.{part}.npy").stat() for number in range(len(offer.names))]
        assert [each.st_mtime_ns for each in written] == sorted(each.st_mtime_ns for each in written)
        assert len({each.st_size for each in written}) == 1
    assert list(offer.names.values()) != list(learner._cases.pool)


def test_volumes_keep_their_names_through_a_campaign_and_have_others_in_the_next(volumes, learner):
    first = dict(learner.ledger.shown)
    again = SegmentationLearner(volumes, 1, ("inputs",), "cpu").ledger
    assert list(again.shown.items()) == list(first.items()), "they depend on nothing but the data and the seed"
    orders = {tuple(SegmentationLearner(volumes, seed, (), "cpu").ledger.shown.values()) for seed in range(1, 6)}
    assert len(orders) == 5


def test_the_order_of_volumes_depends_on_images_and_on_no_label(volumes, learner, tmp_path):
    """Other labels, the same order; another image, another order."""
    raw = raw_folder(tmp_path / "raw")
    order = list(learner.ledger.shown.items())
    write_volume(raw / "labelsTr/case_0.nii.gz", balls((16, 18, 20), 9)[1])
    assert list(SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu").ledger.shown.items()) == order
    write_volume(raw / "imagesTr/case_0_0000.nii.gz", balls((16, 18, 20), 9)[0].astype(np.float32))
    assert list(SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu").ledger.shown.items()) != order


def test_an_answer_names_volumes_by_the_order_in_which_they_were_shown(learner):
    count = len(learner._cases.pool)
    picks = learner.parse(np.array([[number, 0, 0, 0] for number in range(count)]), [], count)
    assert [learner._cases.pool[row[0]] for row in picks] == list(learner.ledger.shown.values())
    learner.check(picks, [], count)


def test_nothing_in_the_offer_tells_unknown_labels(learner, trained, tmp_path):
    picks, networks = trained
    learner.offer(0, networks, picks, tmp_path, oracle=False)
    boxes = learner.ledger.boxes(picks)
    expected = {f"{n}.{part}.npy" for n in range(len(learner._cases.pool)) for part in ("probabilities", "labels")}
    assert {path.name for path in tmp_path.iterdir()} == expected
    for number, name in enumerate(learner.ledger.shown.values()):
        labels, truth = np.load(tmp_path / f"{number}.labels.npy"), learner._cases.labels(name)
        known = np.zeros(truth.shape, dtype=bool)
        for corner, size in boxes.get(name, []):
            known[tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))] = True
        assert labels.dtype == np.int16
        assert (labels[~known] == -1).all()
        assert np.array_equal(labels[known], truth[known])
        probabilities = np.load(tmp_path / f"{number}.probabilities.npy")
        for member in probabilities:
            assert not np.array_equal(member.argmax(axis=0), truth)


def test_an_oracle_sees_all_labels(learner, trained, tmp_path):
    picks, networks = trained
    learner.offer(0, networks, picks, tmp_path, oracle=True)
    for number, name in enumerate(learner.ledger.shown.values()):
        assert np.array_equal(np.load(tmp_path / f"{number}.labels.npy"), learner._cases.labels(name))


def test_writing_an_offer_keeps_one_member_in_memory(learner, tmp_path, monkeypatch):
    from harness.tracks.query.segmentation.learner import write_offer

    size, members = (3, 64, 64, 64), 12
    member = int(np.prod(size)) * 4

    class Window:
        def probabilities(self, case, weights):
            return np.full(size, weights, dtype=np.float32)

    tracemalloc.start()
    write_offer(tmp_path / "0", Window(), None, None, list(range(members)), ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * member
    written = np.load(tmp_path / "0.probabilities.npy", mmap_mode="r")
    assert [each.max() for each in written] == list(range(members))


def test_the_effort_is_counted_on_the_true_labels(learner):
    picks = [learner.start(), np.array([[0, 0, 0, 0, 6, 6, 6]])]
    effort = learner.effort(picks)
    voxels, patches, images = np.zeros(3, int), np.zeros(3, int), set()
    for row in np.concatenate(picks):
        z, y, x, dz, dy, dx = row[1:]
        box = learner._cases.labels(learner._cases.pool[row[0]])[z : z + dz, y : y + dy, x : x + dx]
        voxels += [(box == c).sum() for c in range(3)]
        patches += [(box == c).any() for c in range(3)]
        images.add(row[0])
    assert effort["voxels"].tolist() == voxels.tolist()
    assert effort["patches"].tolist() == patches.tolist()
    assert effort["images"] == len(images)
    assert effort["total_patches"] == 7
    whole = [np.bincount(np.ravel(learner._cases.labels(name)), minlength=3) for name in learner._cases.pool]
    assert effort["pool_voxels"].tolist() == np.sum(whole, axis=0).tolist()
    assert effort["pool_images"] == len(learner._cases.pool)
    assert all(each.dtype == np.int64 for each in effort.values())


def test_features_lie_where_the_image_shows_what_they_are_of(learner, trained):
    from harness.tracks.query.segmentation.prediction import Window

    window = Window(learner._planned(trained[0]), "cpu", 0.5)
    case = learner._planned(trained[0]).network_input(learner._cases.image("case_1"))
    # The cells of the stage hold their own place, two voxels each: even means of places are places again.
    shape = case.image.shape[1:]
    places = np.stack(np.meshgrid(*[np.arange(-(-extent // 2)) * 2 + 0.5 for extent in shape], indexing="ij"))
    even = window._evenly(places, (2, 2, 2), case)
    for axis, extent in enumerate(shape):
        cells = np.linspace(0, extent, even.shape[1 + axis] + 1)
        middle = (cells[1:] + cells[:-1]) / 2 - 0.5
        assert np.allclose(np.moveaxis(even[axis], axis, 0)[:, 0, 0], middle, atol=1.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([[0, 0, 0, 0], [1, 0, 0, 0]], "budget is 3"),
        ([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], "overlap"),
        ([[0, 0, 0, 0], [1, 0, 0, 0], [9, 0, 0, 0]], "image 9"),
        ([[0, 0, 0, 0], [1, 0, 0, 0], [-1, 0, 0, 0]], "image -1"),
        ([[0, 11, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], "leaves the image"),
        ([[0, 0, 0], [1, 0, 0], [2, 0, 0]], "rows of 4"),
        ([[0.0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], "integers"),
    ],
)
def test_an_answer_that_is_no_query(learner, answer, words):
    with pytest.raises(ValueError, match=words):
        learner.parse(np.array(answer), [], 3)


def test_what_is_known_already_cannot_be_asked_for(learner):
    start = learner.start()
    again = start[:1, :4].copy()
    again[0, 0] = place(learner, learner._cases.pool[start[0, 0]])
    with pytest.raises(ValueError, match="is annotated"):
        learner.parse(again, [start], 1)


def test_a_patch_is_clipped_to_a_thin_image(volumes):
    rule = volumes.study.patches.model_copy(update={"size": (40, 6, 6), "stride": (1, 1, 1)})
    learner = SegmentationLearner(changed(volumes, study={"patches": rule}), 1, (), "cpu")
    picks = learner.parse(np.array([[place(learner, learner._cases.pool[2]), 0, 3, 3]]), [], 1)
    assert picks.tolist() == [[2, 0, 3, 3, 16, 6, 6]]


@pytest.mark.parametrize(
    ("study", "rule", "words"),
    [
        ({"query": 500}, {}, "at most 216 fit"),  # 6 images of 2 x 3 x 3 ... each axis cut into sixes
        ({"query": 19}, {}, "raise max_per_image"),
        ({}, {"size": (6, 6), "stride": (2, 2)}, "axes"),
    ],
)
def test_budgets_that_cannot_be_spent(volumes, study, rule, words):
    per_image = (16 // 6) * (18 // 6) * (20 // 6)
    words = words.replace("216", str(6 * per_image))
    patches = volumes.study.patches.model_copy(update=rule)
    with pytest.raises(UsageError, match=words):
        SegmentationLearner(changed(volumes, study={"patches": patches, **study}), 1, (), "cpu")


def test_a_start_too_small_for_all_classes(volumes):
    with pytest.raises(UsageError, match="do not fit a starting budget of 5"):
        SegmentationLearner(changed(volumes, study={"start": 5}), 1, (), "cpu").start()


def test_more_folds_than_annotated_images(volumes, trained):
    many = SegmentationLearner(changed(volumes, training={"folds": 7}), 1, (), "cpu")
    with pytest.raises(UsageError, match="do not fill 7 folds"):
        many.train(0, 0, trained[0], quiet)


def pinned(volumes, tmp_path, content):
    raw = Path(volumes.protocol.path).parent / "raw"
    (tmp_path / "raw").symlink_to(raw)
    (tmp_path / "starts.json").write_text(json.dumps(content))
    return SegmentationLearner(
        setting(benchmark(tmp_path, study='starts = { path = "starts.json" }')), 1, (), "cpu"
    ).start


def rows(learner, picks):
    return [
        {"file": f"{learner._cases.pool[row[0]]}.nii.gz", "coords": row[1:4].tolist(), "size": row[4:].tolist()}
        for row in picks
    ]


def test_a_pinned_start_is_taken_as_it_is(volumes, learner, tmp_path):
    start = learner.start()[::-1]
    assert np.array_equal(pinned(volumes, tmp_path, {"1": {"patches": rows(learner, start)}})(), start)


def test_pinned_starts_are_what_the_maker_draws(volumes, learner):
    from harness.tracks.query.segmentation.making import drawn_starts

    assert drawn_starts(volumes.protocol) == {"1": {"patches": rows(learner, learner.start())}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: {"2": {"patches": rows}}, "no start for seed 1"),
        (lambda rows: [], "no start for seed 1"),
        (lambda rows: {"1": {"patches": rows[:5]}}, "no valid one"),
        (lambda rows: {"1": {"patches": [rows[0]] * 6}}, "overlap"),
        (lambda rows: {"1": {"patches": [{**rows[0], "file": "nobody.nii.gz"}, *rows[1:]]}}, "nobody"),
        (lambda rows: {"1": {"patches": [{"file": "case_0.nii.gz"}, *rows[1:]]}}, "no valid one"),
        (lambda rows: {"1": rows}, "no valid one"),
    ],
)
def test_a_pinned_start_that_cannot_be_used(volumes, learner, tmp_path, change, words):
    start = pinned(volumes, tmp_path, change(rows(learner, learner.start())))
    with pytest.raises(UsageError, match=words):
        start()


def test_without_nnunet_there_is_a_way_out(volumes, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"reliabench\[query\].*make query"):
        SegmentationLearner(volumes, 1, (), "cpu")


def test_volumes_with_a_dark_rim_and_a_coarse_last_axis_come_back_in_place(tmp_path):
    """nnU-Net crops what is zero and puts the coarsest axis first; both are undone for what a strategy sees."""
    from harness.tracks.query.segmentation.prediction import Window

    folder = raw_folder(tmp_path / "raw")
    for number in range(8):
        image, labels = balls((18, 20, 16), number)
        image += 5
        image[:2], image[:, :, -3:], labels[:2], labels[:, :, -3:] = 0, 0, 0, 0
        for part, array in ((f"imagesTr/case_{number}_0000", image), (f"labelsTr/case_{number}", labels)):
            write_volume(folder / f"{part}.nii.gz", array, spacing=(1, 1, 2))
    learner = SegmentationLearner(setting(benchmark(tmp_path)), 1, (), "cpu")
    picks = [learner.start()]
    plan = learner._planned(picks)
    assert isinstance(plan, NetworkPlan)
    assert plan.manager.transpose_forward == [2, 0, 1]
    case = plan.network_input(learner._cases.image("case_1"))
    assert case.image.shape == (1, 13, 16, 20)
    seen = plan.in_image(case.image, case.properties)
    raw = learner._cases.image("case_1")
    assert seen.shape == raw.shape
    assert np.corrcoef(seen[raw != 0], raw[raw != 0])[0, 1] == pytest.approx(1)
    assert (seen[raw == 0] == 0).all()
    weights = learner.train(0, 0, picks, quiet)
    window = Window(plan, "cpu", 0.5)
    probabilities = window.probabilities(case, weights)
    assert probabilities.shape == (3, 18, 20, 16)
    assert (probabilities[0][raw[0] == 0] == 1).all()
    assert (probabilities[0][raw[0] != 0] < 1).all()
    features = window.features(case, weights)
    assert features.shape[0] == 4
    assert all(part <= whole for part, whole in zip(features.shape[1:], (18, 20, 16), strict=True))
