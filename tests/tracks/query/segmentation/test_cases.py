"""Volumes of a user's folder and of the template, and everything that may be wrong with them."""

import json

import numpy as np
import pytest

from harness.spec.errors import UsageError
from harness.tracks.query.segmentation.ledger import open_cases
from tests.tracks.query.segmentation.support import (
    balls,
    benchmark,
    needs,
    raw_folder,
    setting,
    write_header,
    write_volume,
)

needs("SimpleITK", "nnunetv2")


@pytest.fixture
def folder(tmp_path):
    return raw_folder(tmp_path / "raw")


def opened(folder, dataset=""):
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_cases(setting(benchmark(folder.parent, dataset)), scratch)


def refused(folder, *words, dataset=""):
    """The sentence that says why."""
    with pytest.raises(UsageError) as caught:
        opened(folder, dataset)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
    return sentence


def test_volumes_come_in_array_order(folder):
    cases = opened(folder)
    assert (len(cases.pool), len(cases.held_out)) == (6, 2)
    assert sorted(cases.pool) == list(cases.pool)
    assert cases.classes == ("background", "shell", "core")
    for name in (*cases.pool, *cases.held_out):
        image, labels = balls((16, 18, 20), int(name[-1]))
        assert cases.shapes[name] == (16, 18, 20)
        assert np.allclose(cases.image(name), image[None], atol=1e-6)
        assert np.array_equal(cases.labels(name), labels)
        assert cases.counts[name].tolist() == np.bincount(labels.ravel(), minlength=3).tolist()


def test_several_channels_are_stacked_by_number(folder):
    write_header(folder, channel_names={"1": "T2", "0": "T1"})
    for number in range(8):
        write_volume(folder / "imagesTr" / f"case_{number}_0001.nii.gz", np.full((16, 18, 20), 7.0, dtype=np.float32))
    cases = opened(folder)
    assert cases.channels == ("T1", "T2")
    assert (cases.image("case_0")[1] == 7).all()


def test_cases_of_imagesval_are_held_out(folder):
    image, labels = balls((16, 18, 20), 50)
    write_volume(folder / "imagesVal" / "other_0000.nii.gz", image)
    write_volume(folder / "labelsVal" / "other.nii.gz", labels)
    cases = opened(folder)
    assert cases.held_out == ("other",)
    assert len(cases.pool) == 8


def test_a_pinned_list_decides_and_may_leave_cases_out(folder):
    (folder.parent / "split.json").write_text(
        json.dumps({"pool": ["case_3", "case_1", "case_2"], "validation": ["case_0"]})
    )
    cases = opened(folder, 'cases = { path = "split.json" }')
    assert cases.pool == ("case_1", "case_2", "case_3")
    assert cases.held_out == ("case_0",)


def test_frames_of_a_patient_stay_together(tmp_path):
    folder = tmp_path / "raw"
    for number in range(8):
        image, labels = balls((12, 12, 12), number)
        write_volume(folder / "imagesTr" / f"p{number // 2}_frame{number % 2}_0000.nii.gz", image)
        write_volume(folder / "labelsTr" / f"p{number // 2}_frame{number % 2}.nii.gz", labels)
    write_header(folder)
    cases = opened(folder, 'group_separator = "_"\nvalidation_share = 0.5')
    patients = [{name.split("_")[0] for name in part} for part in (cases.pool, cases.held_out)]
    assert not patients[0] & patients[1]
    assert [len(part) for part in patients] == [2, 2]


def test_other_spacings_are_brought_to_the_median(tmp_path):
    folder = raw_folder(tmp_path / "raw", shape=(16, 16, 16))
    image, labels = balls((32, 16, 16), 0)
    write_volume(folder / "imagesTr" / "case_0_0000.nii.gz", image, spacing=(0.5, 1, 1))
    write_volume(folder / "labelsTr" / "case_0.nii.gz", labels, spacing=(0.5, 1, 1))
    cases = opened(folder)
    assert cases.spacing == (1.0, 1.0, 1.0)
    assert cases.shapes["case_0"] == cases.labels("case_0").shape == cases.image("case_0").shape[1:] == (16, 16, 16)
    share = cases.counts["case_0"] / cases.counts["case_0"].sum()
    assert share == pytest.approx(np.bincount(labels.ravel()) / labels.size, abs=0.03)


def test_what_a_set_is_shows_in_its_identity(folder):
    before = opened(folder).identity
    assert opened(folder).identity == before
    image, _ = balls((16, 18, 20), 0)
    image[0, 0, 0] += 1
    write_volume(folder / "imagesTr" / "case_0_0000.nii.gz", image.astype(np.float32))
    assert opened(folder).identity != before


def test_a_missing_header(folder):
    (folder / "dataset.json").unlink()
    refused(folder, "dataset.json")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"channel_names": None}, "channel_names"),
        ({"labels": None}, "labels"),
        ({"file_ending": None}, "file_ending"),
        ({"labels": {"background": 0, "shell": 1, "core": 3}}, "without a gap"),
        ({"labels": {"0": "1", "1": "2"}}, "from name to number"),
        ({"labels": {"0": "background", "1": "shell", "2": "shell"}}, "two `labels` have the name 'shell'"),
        ({"labels": {"background": 0, "shell": 1.5}}, "'shell' is 1.5; give it one integer"),
        ({"labels": {"background": 0, "shell": True}}, "'shell' is True; give it one integer"),
        ({"labels": {"background": 0, "shell": None}}, "'shell' is None; give it one integer"),
        ({"labels": {}}, "`background` = 0"),
        ({"labels": {"background": [0, 1], "shell": 2}}, "`background` = 0"),
        ({"labels": {"background": 0, "shell": [0, 1]}}, "0 in no other label"),
        ({"labels": {"background": 0, "shell": []}}, "'shell' is []"),
        ({"labels": {"background": 0, "shell": [1, [2]]}}, "'shell' is [1, [2]]"),
        ({"labels": {"background": 0, "shell": 1, "core": [1]}}, "'shell' and 'core' are the same, [1]"),
        ({"channel_names": {"T1": "0"}}, "not T1"),
        ({"channel_names": {}}, "channel_names"),
        ({"channel_names": None, "modality": "MRI"}, "has no `modality`"),
        ({"channel_names": None, "modality": {"1": "MRI"}}, "`modality` must name the channels"),
        ({"file_ending": "nii.gz"}, "beginning with a dot"),
        ({"file_ending": ""}, "beginning with a dot"),
        ({"file_ending": "[.gz"}, "beginning with a dot"),
        ({"file_ending": ".jpg"}, "save the files as .png"),
        ({"labels": {"background": 0, "shell": 1, "core": 2, "ignore": 2}}, "label 2 is in `ignore` and in another"),
        ({"labels": {"background": 0, "shell": 1, "ignore": "none"}}, "'ignore' is 'none'"),
        ({"labels": {"ground": 0, "shell": 1, "core": 2}}, "background"),
        ({"channel_names": {"1": "T1"}}, "channel_names"),
    ],
)
def test_a_wrong_header(folder, changes, word):
    write_header(folder, **changes)
    refused(folder, "dataset.json", word)


@pytest.mark.parametrize("missing", ["imagesTr/case_2_0000.nii.gz", "labelsTr/case_2.nii.gz"])
def test_a_missing_file(folder, missing):
    (folder / missing).unlink()
    refused(folder, missing, "missing")


def test_a_single_case(folder):
    """It cannot be both in the pool and held out."""
    for path in (*folder.glob("imagesTr/*"), *folder.glob("labelsTr/*")):
        if not path.name.startswith(("case_0", "case_00")):
            path.unlink()
    assert len(list(folder.glob("labelsTr/*"))) == 1
    refused(folder, "without any case", "give more cases")


def test_a_folder_without_images(folder):
    for part in ("imagesTr", "labelsTr"):
        for path in (folder / part).iterdir():
            path.unlink()
    refused(folder, "imagesTr", "file_ending")


def test_a_damaged_file(folder):
    (folder / "imagesTr" / "case_2_0000.nii.gz").write_bytes(b"not an image")
    refused(folder, "case_2_0000.nii.gz", "cannot be read")


def test_a_damaged_body_behind_a_sound_header(folder):
    path = folder / "imagesTr" / "case_2_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    refused(folder, "case_2_0000.nii.gz", "to its end")


def test_a_flat_image(folder):
    for part in ("imagesTr/case_2_0000.nii.gz", "labelsTr/case_2.nii.gz"):
        write_volume(folder / part, np.zeros((4, 4), dtype=np.float32), (1, 1), (0, 0))
    refused(folder, "case_2", "axes")


def test_shapes_that_differ(folder):
    write_volume(folder / "labelsTr" / "case_2.nii.gz", np.zeros((16, 18, 19), dtype=np.uint8))
    refused(folder, "case_2.nii.gz", "(16, 18, 19)", "(16, 18, 20)")


@pytest.mark.parametrize(("what", "values"), [("spacing", (1, 1, 2)), ("origin", (0, 5, 0))])
def test_grids_that_differ(folder, what, values):
    write_volume(folder / "labelsTr" / "case_2.nii.gz", balls((16, 18, 20), 2)[1], **{what: values})
    refused(folder, "case_2.nii.gz", what)


def test_headers_that_differ_by_rounding(folder):
    """Origins by a two-hundredth of a voxel, spacings and cosines in the fourth digit: what other tools save."""
    angle = 5e-4
    turned = (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    labels = balls((16, 18, 20), 2)[1]
    path = folder / "labelsTr" / "case_2.nii.gz"
    write_volume(path, labels, (1, 1.0004, 1), (0.005, 0, -0.005), turned)
    assert np.array_equal(opened(folder).labels("case_2"), labels)


def test_an_origin_that_is_off_by_a_twentieth_of_a_voxel(folder):
    write_volume(folder / "labelsTr" / "case_2.nii.gz", balls((16, 18, 20), 2)[1], origin=(0, 0, 0.05))
    refused(folder, "case_2.nii.gz has origin", "must agree")


def test_a_second_channel_on_another_grid(folder):
    write_header(folder, channel_names={"0": "T1", "1": "T2"})
    for number in range(8):
        origin = (0, 0, 4) if number == 5 else (0, 0, 0)
        image = balls((16, 18, 20), number)[0].astype(np.float32)
        write_volume(folder / "imagesTr" / f"case_{number}_0001.nii.gz", image, origin=origin)
    refused(folder, "case_5_0001.nii.gz has origin", "case_5_0000.nii.gz has")


@pytest.mark.parametrize(("there", "missing"), [((0,), 1), ((0, 2), 1), ((1, 2), 0)])
def test_a_missing_channel(folder, there, missing):
    write_header(folder, channel_names={"0": "T1", "1": "T2", "2": "T3"})
    for number in range(8):
        (folder / "imagesTr" / f"case_{number}_0000.nii.gz").unlink()
        for channel in there if number == 4 else range(3):
            image = balls((16, 18, 20), number)[0].astype(np.float32)
            write_volume(folder / "imagesTr" / f"case_{number}_{channel:04d}.nii.gz", image)
    refused(folder, f"case_4_{missing:04d}.nii.gz is missing; the case case_4 needs it")


def test_a_label_of_another_orientation(folder):
    """The same shape, spacing and origin, but its first axis runs the other way."""
    turned = (-1, 0, 0, 0, 1, 0, 0, 0, 1)
    write_volume(folder / "labelsTr" / "case_2.nii.gz", balls((16, 18, 20), 2)[1], direction=turned)
    refused(folder, "labelsTr", "case_2.nii.gz", "oriented otherwise", "[-1.0, 0.0, 0.0", "resample it")


def test_a_case_that_is_turned_as_a_whole(folder):
    image, labels = balls((16, 18, 20), 2)
    turned = (0, -1, 0, 1, 0, 0, 0, 0, 1)
    write_volume(folder / "imagesTr" / "case_2_0000.nii.gz", image.astype(np.float32), direction=turned)
    write_volume(folder / "labelsTr" / "case_2.nii.gz", labels, direction=turned)
    assert np.array_equal(opened(folder).labels("case_2"), labels)


def test_channels_that_the_header_does_not_name(folder):
    write_volume(folder / "imagesTr" / "case_3_0001.nii.gz", balls((16, 18, 20), 3)[0].astype(np.float32))
    refused(folder, "case_3_0001.nii.gz is channel 1 of case_3", "names 1 in `channel_names`")


@pytest.mark.parametrize("part", ["imagesTr/case_2_0000.nii.gz", "labelsTr/case_2.nii.gz"])
def test_images_in_colours(folder, part):
    colours = np.zeros((16, 18, 20, 3), dtype=np.uint8)
    write_volume(folder / part, colours, colours=True)
    refused(folder, part, "3 values a voxel", "one value")


def test_files_that_macos_lays_beside_others(folder):
    expected, artefacts = opened(folder), setting(benchmark(folder.parent)).artefacts()
    for path in (*folder.glob("imagesTr/*"), *folder.glob("labelsTr/*")):
        path.with_name(f"._{path.name}").write_bytes(b"attributes")
    (folder / "imagesTr" / ".DS_Store").write_bytes(b"view")
    found = opened(folder)
    assert (found.pool, found.held_out, found.identity) == (expected.pool, expected.held_out, expected.identity)
    assert setting(benchmark(folder.parent)).artefacts() == artefacts


@pytest.mark.parametrize("value", [1e30, -1e13])
def test_intensities_too_large_to_have_a_deviation(folder, value):
    image = balls((16, 18, 20), 2)[0]
    image[3, 4, 5] = value
    write_volume(folder / "imagesTr" / "case_2_0000.nii.gz", image.astype(np.float32))
    refused(folder, "case_2_0000.nii.gz", f"{abs(value):.3g}", "at most 1e+12")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers(folder, value):
    image, _ = balls((16, 18, 20), 2)
    image[3, 4, 5] = value
    write_volume(folder / "imagesTr" / "case_2_0000.nii.gz", image.astype(np.float32))
    refused(folder, "case_2_0000.nii.gz", "NaN or infinite")


@pytest.mark.parametrize("value", [3, -1, 0.5])
def test_a_label_that_the_header_does_not_know(folder, value):
    labels = balls((16, 18, 20), 2)[1].astype(np.float32)
    labels[0, 0, 0] = value
    write_volume(folder / "labelsTr" / "case_2.nii.gz", labels)
    refused(folder, "case_2.nii.gz", str(value), "0 to 2")


def test_a_class_in_one_image_of_the_pool(folder):
    pool = opened(folder).pool
    for name in pool[1:]:
        _, labels = balls((16, 18, 20), int(name[-1]))
        write_volume(folder / "labelsTr" / f"{name}.nii.gz", np.minimum(labels, 1))
    refused(folder, "class 2 (core)", "1 of the 6")


def test_no_foreground_at_all(folder):
    for path in (folder / "labelsTr").iterdir():
        write_volume(path, np.zeros((16, 18, 20), dtype=np.uint8))
    refused(folder, "foreground")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pool": ["case_1"]}, ["`pool` and `validation`"]),
        ({"pool": ["case_1", "case_2"], "validation": ["case_1"]}, ["case_1", "twice"]),
        ({"pool": ["case_1", "case_77"], "validation": ["case_2"]}, ["case_77", "does not have"]),
        ({"pool": ["case_1", "case_2"], "validation": []}, ["held-out"]),
    ],
)
def test_a_wrong_list_of_cases(folder, content, words):
    (folder.parent / "split.json").write_text(json.dumps(content))
    refused(folder, *words, dataset='cases = { path = "split.json" }')


def test_a_case_in_both_parts(folder):
    for part in ("images", "labels"):
        (folder / f"{part}Val").mkdir()
        name = "case_0_0000.nii.gz" if part == "images" else "case_0.nii.gz"
        (folder / f"{part}Val" / name).write_bytes((folder / f"{part}Tr" / name).read_bytes())
    refused(folder, "case_0", "imagesTr")
