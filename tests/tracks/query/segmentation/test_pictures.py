"""Flat images: PNG in grey or in colours, other natural images, and NIfTI of two axes."""

import json

import numpy as np
import pytest

from harness.metrics.segmentation import mean_dice
from harness.spec.errors import UsageError
from harness.tracks.query.campaign import Campaign, run_campaign
from harness.tracks.query.segmentation.ledger import open_cases
from tests.tracks.query.segmentation.support import (
    balls,
    benchmark,
    boxed,
    changed,
    discs,
    needs,
    opened,
    picture_folder,
    quiet,
    random_strategy,
    setting,
    write_header,
    write_picture,
    write_volume,
)

needs("SimpleITK", "nnunetv2")

from harness.tracks.query.segmentation.learner import SegmentationLearner  # noqa: E402

SHAPE = (32, 40)


@pytest.fixture
def folder(tmp_path):
    return picture_folder(tmp_path / "raw")


@pytest.fixture
def grey(tmp_path):
    return picture_folder(tmp_path / "raw", grey=True)


def cases_of(folder):
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_cases(setting(benchmark(folder.parent, flat=True)), scratch)


def refused(folder, *words):
    with pytest.raises(UsageError) as caught:
        cases_of(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_colours_are_channels(folder):
    cases = cases_of(folder)
    assert cases.channels == ("R", "G", "B")
    assert cases.spacing == (1.0, 1.0)
    for name in (*cases.pool, *cases.held_out):
        image, labels = discs(int(name[-1]))
        assert cases.shapes[name] == SHAPE
        assert np.array_equal(cases.image(name), np.moveaxis(image, -1, 0).astype(np.float32))
        assert np.array_equal(cases.labels(name), labels)
        assert cases.counts[name].tolist() == np.bincount(labels.ravel(), minlength=3).tolist()


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("in_grey", [True, False])
def test_pictures_are_read_as_nnunet_reads_them(tmp_path, ending, in_grey):
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    folder = picture_folder(tmp_path / "raw", grey=in_grey, ending=ending)
    cases, reader = cases_of(folder), NaturalImage2DIO()
    for name in ("case_0", "case_5"):
        expected, _ = reader.read_images((str(folder / "imagesTr" / f"{name}_0000{ending}"),))
        assert np.array_equal(cases.image(name), expected[:, 0])
        labels, _ = reader.read_seg(str(folder / "labelsTr" / f"{name}{ending}"))
        assert np.array_equal(cases.labels(name), labels[0, 0])


def test_several_grey_pictures_are_channels(grey):
    for number in range(8):
        write_picture(grey / "imagesTr" / f"case_{number}_0001.png", discs(number)[0][..., 1])
    write_header(grey, channel_names={"0": "a", "1": "b"}, file_ending=".png")
    expected = np.moveaxis(discs(3)[0][..., :2], -1, 0).astype(np.float32)
    assert np.array_equal(cases_of(grey).image("case_3"), expected)


def test_sixteen_bits_of_grey(grey):
    image = np.random.default_rng(0).integers(0, 2**16, SHAPE).astype(np.uint16)
    write_picture(grey / "imagesTr" / "case_0_0000.png", image)
    assert np.array_equal(cases_of(grey).image("case_0")[0], image.astype(np.float32))


def with_alpha(number):
    return np.dstack([discs(number)[0], np.full(SHAPE, 200, dtype=np.uint8)])


def test_transparency_that_the_header_does_not_name(folder):
    write_picture(folder / "imagesTr" / "case_2_0000.png", with_alpha(2))
    refused(folder, "case_2_0000.png holds 4 channels, the last of which is the transparency", "names 3 (R, G, B)")


def test_transparency_that_the_header_names_is_a_channel(folder):
    for number in range(8):
        write_picture(folder / "imagesTr" / f"case_{number}_0000.png", with_alpha(number))
    write_header(folder, channel_names={str(n): name for n, name in enumerate("RGBA")}, file_ending=".png")
    assert np.array_equal(cases_of(folder).image("case_2"), np.moveaxis(with_alpha(2), -1, 0).astype(np.float32))


def test_colours_where_the_header_names_grey(folder):
    write_header(folder, channel_names={"0": "grey"}, file_ending=".png")
    refused(folder, "case_", "holds 3 channels", "names 1 (grey)")


def test_a_grey_picture_among_coloured_ones(folder):
    write_picture(folder / "imagesTr" / "case_2_0000.png", discs(2)[0][..., 0])
    refused(folder, "case_2_0001.png is missing")


def test_a_missing_channel(grey):
    for number in range(7):
        write_picture(grey / "imagesTr" / f"case_{number}_0001.png", discs(number)[0][..., 1])
    write_header(grey, channel_names={"0": "a", "1": "b"}, file_ending=".png")
    refused(grey, "case_7_0001.png is missing; the case case_7 needs it")


def test_grey_with_transparency(grey):
    from PIL import Image

    Image.fromarray(discs(2)[0][..., 0]).convert("LA").save(grey / "imagesTr" / "case_2_0000.png")
    refused(grey, "case_2_0000.png has shape (32, 40, 2)", "a picture is grey, in colours")


def test_a_label_in_the_colours_of_a_palette(folder):
    from PIL import Image

    label = Image.fromarray(discs(2)[1], mode="P")
    label.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    label.save(folder / "labelsTr" / "case_2.png")
    refused(folder, "labelsTr", "case_2.png has 3 values a voxel", "the number of the label")


def test_a_label_of_another_size(folder):
    write_picture(folder / "labelsTr" / "case_2.png", np.zeros((40, 32), dtype=np.uint8))
    refused(folder, "case_2.png has shape (40, 32)", "(32, 40); they must agree")


def test_a_mask_of_black_and_white(folder):
    write_picture(folder / "labelsTr" / "case_2.png", 255 * (discs(2)[1] > 0).astype(np.uint8))
    refused(folder, "case_2.png has the label 255", "knows the labels 0 to 2")


@pytest.mark.parametrize("part", ["imagesTr/case_2_0000.png", "labelsTr/case_2.png"])
@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_damaged_picture(folder, part, content):
    path = folder / part
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    refused(folder, path.name, "cannot be read as an image")


def test_files_that_macos_lays_beside_pictures(folder):
    expected = cases_of(folder).identity
    for path in (*folder.glob("imagesTr/*"), *folder.glob("labelsTr/*")):
        path.with_name(f"._{path.name}").write_bytes(b"attributes")
    assert cases_of(folder).identity == expected


def test_a_volume_among_flat_images(tmp_path):
    folder = tmp_path / "raw"
    for number in range(8):
        image, labels = balls((16, 18, 20), 0) if number == 2 else (discs(number)[0][..., 0], discs(number)[1])
        write_volume(folder / "imagesTr" / f"case_{number}_0000.nii.gz", image.astype(np.float32), (1,) * image.ndim)
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", labels, (1,) * image.ndim)
    write_header(folder)
    refused(folder, "axes", "a set is of volumes, or of flat images")


def test_flat_nifti_is_brought_to_one_spacing(tmp_path):
    folder = tmp_path / "raw"
    for number in range(8):
        image, labels = discs(number)
        image, spacing = image[..., 0], (1.0, 1.0)
        if number == 0:  # twice as fine along y
            image, labels, spacing = np.repeat(image, 2, axis=0), np.repeat(labels, 2, axis=0), (0.5, 1.0)
        write_volume(folder / "imagesTr" / f"case_{number}_0000.nii.gz", image.astype(np.float32), spacing, (0, 0))
        write_volume(folder / "labelsTr" / f"case_{number}.nii.gz", labels, spacing, (0, 0))
    write_header(folder)
    cases = cases_of(folder)
    assert cases.spacing == (1.0, 1.0)
    assert cases.image("case_0").shape == (1, *SHAPE)
    assert np.array_equal(cases.labels("case_0"), discs(0)[1])
    assert np.array_equal(cases.labels("case_1"), discs(1)[1])


@pytest.mark.parametrize(
    ("flat", "words"), [(True, ["images have 3", "(z, y, x)"]), (False, ["images have 2", "(y, x)"])]
)
def test_patches_of_another_number_of_axes(tmp_path, flat, words):
    from tests.tracks.query.segmentation.support import raw_folder

    (raw_folder if flat else picture_folder)(tmp_path / "raw")
    with pytest.raises(UsageError) as caught:
        SegmentationLearner(setting(benchmark(tmp_path, flat=flat)), 1, (), "cpu")
    assert all(word in str(caught.value) for word in words)


# Campaigns.


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Discs of which the lower right corner is to be ignored (255), and the core is a region in the disc."""
    folder = picture_folder(
        tmp_path_factory.mktemp("data") / "raw",
        labels={"background": 0, "disc": [1, 2], "core": 2, "ignore": 255},
        regions_class_order=[1, 2],
    )
    for number in range(8):
        labels = discs(number)[1]
        labels[26:, 30:] = 255
        write_picture(folder / "labelsTr" / f"case_{number}.png", labels)
    return setting(benchmark(folder.parent, flat=True))


@pytest.fixture(scope="module")
def learner(pictures):
    return SegmentationLearner(pictures, 1, ("features", "inputs"), "cpu")


def truth(name):
    labels = discs(int(name[-1]))[1].astype(int)
    labels[26:, 30:] = -1
    return labels


def test_the_plan_is_nnunets_of_two_axes(learner):
    plan = learner._planned([learner.start()])
    assert list(plan.plans["configurations"]) == ["2d"]
    assert (plan.name, plan.patch_size, plan.spacing) == ("2d", (16, 16), (1.0, 1.0))


def test_constants_of_three_axes(pictures):
    learner = SegmentationLearner(changed(pictures, training={"patch_size": (16, 16, 16)}), 1, (), "cpu")
    with pytest.raises(UsageError, match=r"needs two numbers, \(y, x\)"):
        learner._planned([learner.start()])


def test_what_a_strategy_sees_has_two_axes(learner, tmp_path):
    picks = [learner.start()]
    networks = [learner.train(0, number, picks, quiet) for number in range(2)]
    pool = opened(learner.offer(0, networks, picks, tmp_path, oracle=False), needs=["features", "inputs"])
    for image in pool.images:
        assert image.shape == SHAPE
        assert tuple(image.probabilities.shape) == (2, 3, *SHAPE)
        assert np.allclose(image.probabilities.sum(1), 1, atol=1e-5)
        name = learner.ledger.shown[image.name]
        raw = np.moveaxis(discs(int(name[-1]))[0], -1, 0).astype(float)
        normal = (raw - raw.mean(axis=(1, 2), keepdims=True)) / raw.std(axis=(1, 2), keepdims=True)
        assert np.allclose(image.image, normal, atol=1e-3)
        assert image.features.shape == (8, 16, 20)
        assert np.array_equal(image.annotatable, truth(name) >= 0)
    found = pool.best(lambda probabilities: probabilities.mean(0)[1], 3, np.random.default_rng(0))
    assert all(len(corner) == 2 for _, corner in found)


def test_a_campaign_from_start_to_end(learner, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    outputs = run_campaign(Campaign(2, 3), learner, random_strategy, tmp_path / "desk", quiet)
    assert capfd.readouterr() == ("", "")
    assert outputs["picks.0"].shape == (6, 5)
    names = learner._cases.pool
    boxes = [truth(names[row[0]])[boxed(row)] for loop in range(2) for row in outputs[f"picks.{loop}"]]
    assert outputs["effort.voxels"][1].tolist() == [
        sum(int((box == label).sum()) for box in boxes) for label in range(3)
    ]
    whole = [sum(int((truth(name) == label).sum()) for name in names) for label in range(3)]
    assert outputs["effort.pool_voxels"][1].tolist() == whole
    counts = outputs["evaluation.counts"]
    for name, rows in zip(learner._cases.held_out, counts[1], strict=True):
        assert (rows[1, 0] + rows[1, 2], rows[2, 0] + rows[2, 2]) == ((truth(name) > 0).sum(), (truth(name) == 2).sum())
        assert (rows.sum(axis=1) == (truth(name) >= 0).sum()).all()
    loops = [json.loads((tmp_path / f"desk/loop_00{loop}.json").read_text())["patches"] for loop in range(2)]
    assert [len(loop) for loop in loops] == [6, 3]
    for patch, row in zip(loops[1], outputs["picks.1"], strict=True):
        assert patch == {"file": f"{names[row[0]]}.png", "coords": row[1:3].tolist(), "size": [6, 6]}
    assert set(json.loads((tmp_path / "desk/loop_001/summary.json").read_text())["mean"]) == {"(1, 2)", "2"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "header", [{}, {"labels": {"background": 0, "disc": [1, 2], "core": 2}, "regions_class_order": [1, 2]}]
)
def test_networks_learn_to_find_discs(tmp_path, header):
    """With every label bought, a small network finds classes, or regions, in a few hundred steps."""
    folder = picture_folder(tmp_path / "raw", **header)
    study = changed(
        setting(benchmark(folder.parent, flat=True)),
        training={"epochs": 10, "iterations": 30, "patch_size": (32, 40), "momentum": 0.9},
    )
    learner = SegmentationLearner(study, 1, (), "cpu")
    picks = [learner.ledger.everything()]
    counts = learner.evaluate(0, [learner.train(0, number, picks, quiet) for number in range(2)], picks)["counts"]
    assert mean_dice(counts) > 0.8
