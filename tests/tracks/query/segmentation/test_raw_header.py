"""What `dataset.json` may say of labels: to be ignored, regions, and the style of nnU-Net 1 and the Decathlon."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.spec.errors import UsageError
from harness.tracks.query.segmentation.ledger import open_cases
from harness.tracks.query.segmentation.raw_header import read_labels
from tests.tracks.query.segmentation.support import balls, benchmark, needs, raw_folder, setting, write_volume

PATH = Path("dataset.json")


def opened(folder):
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_cases(setting(benchmark(folder.parent)), scratch)


def test_one_label_to_be_ignored():
    labels = read_labels({"background": 0, "shell": 1, "core": 2, "ignore": 3}, None, PATH)
    assert labels.classes == ("background", "shell", "core")
    assert labels.numbers == {0: 0, 1: 1, 2: 2, 3: -1}
    assert labels.regions == ()


def test_several_labels_to_be_ignored_of_any_value():
    labels = read_labels({"background": 0, "shell": "1", "ignore": [2, "255"]}, None, PATH)
    assert labels.numbers == {0: 0, 1: 1, 2: -1, 255: -1}


def test_regions_that_contain_each_other():
    """As BraTS has them: each value is a class, each label a union of some."""
    found = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    labels = read_labels(found, [1, 2, 3], PATH)
    assert labels.classes == ("background", "label 1", "label 2", "enhancing")
    assert labels.numbers == {0: 0, 1: 1, 2: 2, 3: 3, 4: -1}
    assert [(each.name, each.values, each.classes, each.written) for each in labels.regions] == [
        ("whole", (1, 2, 3), (1, 2, 3), 1),
        ("core", (2, 3), (2, 3), 2),
        ("enhancing", (3,), (3,), 3),
    ]


def test_values_that_no_region_tells_apart_are_one_class():
    labels = read_labels({"background": 0, "organ": [1, 2, 3, 4], "mass": [2, 3, 4], "tumour": 2}, [1, 4, 2], PATH)
    assert labels.classes == ("background", "label 1", "tumour", "label 3, 4")
    assert labels.numbers == {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}
    assert [(each.values, each.classes, each.written) for each in labels.regions] == [
        ((1, 2, 3, 4), (1, 2, 3), 1),
        ((2, 3, 4), (2, 3), 3),
        ((2,), (2,), 2),
    ]


def test_lists_that_do_not_overlap_are_classes_of_several_values():
    labels = read_labels({"background": 0, "left": [1, 3], "right": [2]}, None, PATH)
    assert labels == read_labels({"background": 0, "left": [3, 1], "right": "2"}, [1, 2], PATH)
    assert (labels.classes, labels.numbers, labels.regions) == (
        ("background", "left", "right"),
        {0: 0, 1: 1, 3: 1, 2: 2},
        (),
    )


def test_names_by_number():
    labels = read_labels({"0": "Background", "1": "Anterior", "2": "ignore"}, None, PATH)
    assert (labels.classes, labels.numbers) == (("background", "Anterior"), {0: 0, 1: 1, 2: -1})


@pytest.mark.parametrize("order", [None, [1], [1, 2, 3], ["1", "x"], {"1": 2}, [1, 2.0], [1, True]])
def test_regions_without_an_order(order):
    with pytest.raises(UsageError, match=r"need `regions_class_order`, a list of 2 integers.* whole, core"):
        read_labels({"background": 0, "whole": [1, 2], "core": 2}, order, PATH)


def test_an_order_that_writes_what_a_region_does_not_have():
    with pytest.raises(UsageError, match=r"writes the label 1 for 'core', which has \[2\]"):
        read_labels({"background": 0, "whole": [1, 2], "core": 2}, [2, 1], PATH)


# Folders in the style of nnU-Net 1 and the Decathlon.

OLD = {
    "name": "BALLS",
    "tensorImageSize": "3D",
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "shell", "2": "core"},
    "numTraining": 8,
    "numTest": 0,
    "training": [{"image": f"./imagesTr/case_{n}.nii.gz", "label": f"./labelsTr/case_{n}.nii.gz"} for n in range(8)],
    "test": [],
}


@pytest.fixture
def folder(tmp_path):
    needs("SimpleITK", "nnunetv2")
    return raw_folder(tmp_path / "raw")


def rewrite(folder, **changes):
    header = {name: value for name, value in {**OLD, **changes}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(header))


def unnumbered(folder):
    """The Decathlon's names of images: those of the labels."""
    for path in (folder / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000.", ".")))


@pytest.mark.parametrize("decathlon", [False, True])
@pytest.mark.parametrize("training", ["listed", None])
def test_the_same_set_in_the_old_style(folder, decathlon, training):
    expected = opened(folder)
    if decathlon:
        unnumbered(folder)
    rewrite(folder, **({} if training else {"training": None}))
    found = opened(folder)
    assert (found.pool, found.held_out, found.classes) == (expected.pool, expected.held_out, expected.classes)
    assert (found.channels, found.file_ending) == (("MRI",), ".nii.gz")
    for name in (*found.pool, *found.held_out):
        image, labels = balls((16, 18, 20), int(name[-1]))
        assert np.array_equal(found.image(name), image.astype(np.float32)[None])
        assert np.array_equal(found.labels(name), labels)


def test_the_list_of_training_cases_decides(folder):
    rewrite(folder, training=OLD["training"][:5])
    cases = opened(folder)
    assert sorted({*cases.pool, *cases.held_out}) == [f"case_{n}" for n in range(5)]


def test_a_listed_case_that_is_not_there(folder):
    rewrite(folder, training=[*OLD["training"], {"image": "./imagesTr/more.nii.gz", "label": "./labelsTr/more.nii.gz"}])
    with pytest.raises(UsageError, match=r"more_0000\.nii\.gz is missing; the case more needs it"):
        opened(folder)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ([], "must list pairs"),
        ({"case_0": 1}, "must list pairs"),
        ([{"img": "a"}], "must list pairs"),
        ([7], "must list pairs"),
        ([OLD["training"][0]] * 2, "lists the case case_0 twice"),
    ],
)
def test_a_list_of_training_cases_that_is_none(folder, training, words):
    rewrite(folder, training=training)
    with pytest.raises(UsageError, match=words):
        opened(folder)


def test_images_of_the_decathlon_whose_names_end_in_four_digits(tmp_path):
    needs("SimpleITK", "nnunetv2")
    folder = tmp_path / "raw"
    for number in range(8):
        image, labels = balls((16, 18, 20), number)
        write_volume(folder / "imagesTr" / f"la_{number:04d}.nii.gz", image.astype(np.float32))
        write_volume(folder / "labelsTr" / f"la_{number:04d}.nii.gz", labels)
    rewrite(folder, training=None)
    cases = opened(folder)
    assert sorted({*cases.pool, *cases.held_out}) == [f"la_{number:04d}" for number in range(8)]


def test_channels_along_a_fourth_axis(folder):
    """The Decathlon keeps the modalities of a case in one file."""
    import SimpleITK

    unnumbered(folder)
    for number in range(8):
        image = balls((16, 18, 20), number)[0].astype(np.float32)
        both = [SimpleITK.GetImageFromArray(each) for each in (image, 2 * image)]
        SimpleITK.WriteImage(SimpleITK.JoinSeries(both), str(folder / "imagesTr" / f"case_{number}.nii.gz"))
    rewrite(folder, modality={"0": "T1", "1": "T2"}, tensorImageSize="4D")
    cases = opened(folder)
    assert cases.channels == ("T1", "T2")
    first = balls((16, 18, 20), 3)[0].astype(np.float32)
    assert np.array_equal(cases.image("case_3"), np.stack([first, 2 * first]))


def test_fewer_channels_than_modalities(folder):
    unnumbered(folder)
    rewrite(folder, modality={"0": "T1", "1": "T2"})
    with pytest.raises(UsageError, match=r"holds 1 channels.* names 2 \(T1, T2\)"):
        opened(folder)
