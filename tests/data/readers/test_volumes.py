"""Volumes in the trees of the Decathlon, ACDC, KiTS, MAMA-MIA, ToothFairy2, and nnU-Net itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.manifests import find_dataset
from harness.data.raw_folders import write_raw_folder
from harness.data.readers.opening import open_part
from harness.spec.errors import UsageError
from harness.spec.readers import VolumesReader
from harness.storage import IntegrityError, read_json
from tests.data.readers.support import shared

sitk = pytest.importorskip("SimpleITK")


def volume(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.0, 2.0, 3.0)) -> np.ndarray:
    """Write an array (z, y, x)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: image.GetDimension()])
    sitk.WriteImage(image, str(path))
    return array


def grid(seed: int, classes: int = 0, shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if classes:
        return rng.integers(0, classes + 1, shape).astype(np.uint8)
    return rng.integers(-1000, 1000, shape).astype(np.int16)


def reader(name: str) -> VolumesReader:
    found = find_dataset(name).spec.reader
    assert isinstance(found, VolumesReader)
    return found


def made(name: str, folder: Path, names: list[str] | None = None) -> Path:
    """The raw folder that the bundled data set's reader makes of a tree."""
    names = names if names is not None else list(open_part(find_dataset(name), "all", folder).ids)
    write_raw_folder(reader(name), folder, names, folder / "raw", lambda done: None)
    return folder / "raw"


def array(path: Path) -> np.ndarray:
    found: np.ndarray = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return found


def test_the_decathlon_becomes_a_raw_folder_of_the_same_files(tmp_path: Path) -> None:
    root = tmp_path / "Task04_Hippocampus"
    for number in (17, 3):
        volume(root / f"imagesTr/hippocampus_{number:03}.nii.gz", grid(number))
        volume(root / f"labelsTr/hippocampus_{number:03}.nii.gz", grid(number, 2))
    (root / "labelsTr/._hippocampus_003.nii.gz").write_bytes(b"resource fork")
    volume(root / "imagesTs/hippocampus_900.nii.gz", grid(1))
    raw = made("hippocampus", tmp_path)
    for kind, ending in (("images", "_0000"), ("labels", "")):
        names = [f"hippocampus_{number}{ending}.nii.gz" for number in ("003", "017")]
        assert sorted(path.name for path in (raw / f"{kind}Tr").iterdir()) == names
        for name in names:
            source = root / f"{kind}Tr" / name.replace("_0000", "")
            assert (raw / f"{kind}Tr" / name).read_bytes() == source.read_bytes()
    assert read_json(raw / "dataset.json") == {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Anterior": 1, "Posterior": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }


def test_acdc_has_a_case_a_frame(tmp_path: Path) -> None:
    for patient, frames in (("001", ("01", "12")), ("002", ("01", "09"))):
        folder = tmp_path / f"training/patient{patient}"
        for frame in frames:
            volume(folder / f"patient{patient}_frame{frame}.nii.gz", grid(int(frame)))
            volume(folder / f"patient{patient}_frame{frame}_gt.nii.gz", grid(int(frame), 3))
        volume(folder / f"patient{patient}_4d.nii.gz", grid(1))
    samples = open_part(find_dataset("acdc"), "all", tmp_path)
    cases = ["patient001_frame01", "patient001_frame12", "patient002_frame01", "patient002_frame09"]
    assert list(samples.ids) == cases
    np.testing.assert_array_equal(samples.read([3])[0], grid(9))
    raw = made("acdc", tmp_path)
    assert sorted(path.name for path in (raw / "labelsTr").iterdir()) == [f"{case}.nii.gz" for case in cases]
    np.testing.assert_array_equal(array(raw / "labelsTr/patient001_frame12.nii.gz"), grid(12, 3))


def test_kits_has_a_folder_a_case(tmp_path: Path) -> None:
    volume(tmp_path / "data/case_00042/imaging.nii.gz", grid(1))
    volume(tmp_path / "data/case_00042/aggregated_MAJ_seg.nii.gz", grid(1, 3))
    volume(tmp_path / "data/case_00042/aggregated_OR_seg.nii.gz", grid(2, 3))
    raw = made("kits21", tmp_path)
    assert array(raw / "labelsTr/case_00042.nii.gz").tolist() == grid(1, 3).tolist()


def test_amos_keeps_the_ct_part(tmp_path: Path) -> None:
    for case in ("amos_0001", "amos_0410", "amos_0507"):
        volume(tmp_path / f"amos22/imagesTr/{case}.nii.gz", grid(1))
        volume(tmp_path / f"amos22/labelsTr/{case}.nii.gz", grid(1, 15))
    assert list(open_part(find_dataset("amos22"), "all", tmp_path).ids) == ["amos_0001", "amos_0410"]


def test_word_unites_training_and_validation(tmp_path: Path) -> None:
    for part, case in (("Tr", "word_0002"), ("Val", "word_0001")):
        volume(tmp_path / f"WORD-V0.1.0/images{part}/{case}.nii.gz", grid(1))
        volume(tmp_path / f"WORD-V0.1.0/labels{part}/{case}.nii.gz", grid(1, 16))
    raw = made("word", tmp_path)
    assert sorted(path.name for path in (raw / "imagesTr").iterdir()) == [
        "word_0001_0000.nii.gz",
        "word_0002_0000.nii.gz",
    ]


def test_mama_mia_is_post_minus_pre(tmp_path: Path) -> None:
    pre, post = volume(tmp_path / "images/DUKE_001/duke_001_0000.nii.gz", grid(1)), grid(2)
    volume(tmp_path / "images/DUKE_001/duke_001_0001.nii.gz", post)
    volume(tmp_path / "segmentations/expert/DUKE_001.nii.gz", grid(3, 1))
    raw = made("mama-mia", tmp_path)
    found = array(raw / "imagesTr/DUKE_001_0000.nii.gz")
    np.testing.assert_array_equal(found, post.astype(np.int16) - pre.astype(np.int16))
    assert found.dtype == np.int16
    image = sitk.ReadImage(str(raw / "imagesTr/DUKE_001_0000.nii.gz"))
    assert image.GetSpacing() == pytest.approx((1, 2, 3))
    assert read_json(raw / "dataset.json")["channel_names"] == {"0": "MRI Subtraction Image"}


def test_mama_mia_cuts_fractions_before_it_subtracts(tmp_path: Path) -> None:
    shape = (3, 4, 5)
    volume(tmp_path / "images/DUKE_001/duke_001_0000.nii.gz", np.full(shape, 1.9, np.float32))
    volume(tmp_path / "images/DUKE_001/duke_001_0001.nii.gz", np.full(shape, 5.2, np.float32))
    volume(tmp_path / "segmentations/expert/DUKE_001.nii.gz", np.ones(shape, np.uint8))
    found = array(made("mama-mia", tmp_path) / "imagesTr/DUKE_001_0000.nii.gz")
    assert np.unique(found).tolist() == [4]  # 5 - 1, not int(3.3)


def test_teeth_are_numbered_without_gaps(tmp_path: Path) -> None:
    root = tmp_path / "Dataset112_ToothFairy2"
    values = [0, *range(1, 11), *range(11, 19), *range(21, 29), *range(31, 39), *range(41, 49)]
    label = np.resize(np.array(values, np.uint8), (3, 4, 5))
    volume(root / "labelsTr/ToothFairy2F_001.mha", label)
    volume(root / "imagesTr/ToothFairy2F_001_0000.mha", grid(1))
    raw = made("toothfairy2", tmp_path)
    header = read_json(raw / "dataset.json")
    assert header["file_ending"] == ".mha"
    assert sorted(header["labels"].values()) == list(range(43))
    assert header["labels"]["Lower Right Third Molar (Wisdom Tooth)"] == 42
    found = array(raw / "labelsTr/ToothFairy2F_001.mha")
    assert found.reshape(-1).tolist() == [values.index(value) for value in label.reshape(-1).tolist()]
    assert (raw / "imagesTr/ToothFairy2F_001_0000.mha").read_bytes() == (
        root / "imagesTr/ToothFairy2F_001_0000.mha"
    ).read_bytes()


def tree(folder: Path, **changes: Any) -> VolumesReader:
    channels = {"a": {"path": "i/{case}_a.nii.gz"}, "b": {"path": "i/{case}_b.nii.gz"}}
    fields = {"pattern": r"l/(?P<case>.+)\.nii\.gz", "channels": channels, "labels": {"x": [1]}, **changes}
    return VolumesReader.model_validate({"kind": "volumes", **fields})


def write_tree(folder: Path) -> None:
    for channel in "ab":
        volume(folder / f"i/c_{channel}.nii.gz", grid(ord(channel)))
    volume(folder / "l/c.nii.gz", grid(1, 1))


def test_several_channels_and_frames(tmp_path: Path) -> None:
    from harness.data.manifests import Manifest
    from tests.data.readers.support import dataset

    write_tree(tmp_path)
    frames = np.stack([grid(5), grid(6)])
    image = sitk.JoinSeries([sitk.GetImageFromArray(frame) for frame in frames])
    sitk.WriteImage(image, str(tmp_path / "i/c_4d.nii.gz"))
    spec = tree(
        tmp_path, channels={"a": {"path": "i/{case}_a.nii.gz"}, "f": {"path": "i/{case}_4d.nii.gz", "frame": 1}}
    )
    samples = open_part(Manifest(dataset(spec.canonical()), None, tmp_path), "all", tmp_path)
    found = samples.read([0])[0]
    np.testing.assert_array_equal(found[..., 0], grid(ord("a")))
    np.testing.assert_array_equal(found[..., 1], grid(6))
    write_raw_folder(spec, tmp_path, ["c"], tmp_path / "raw", lambda done: None)
    np.testing.assert_array_equal(array(tmp_path / "raw/imagesTr/c_0001.nii.gz"), grid(6))


def test_the_real_hippocampus_folder() -> None:
    folder = shared("hippocampus")
    from harness.data.manifests import Manifest
    from tests.data.readers.support import dataset

    spec = {
        "kind": "volumes",
        "pattern": r"labelsTr/(?P<case>[^/]+)\.nii\.gz",
        "channels": {"MRI": {"path": "imagesTr/{case}_0000.nii.gz"}},
        "labels": {"Anterior": [1], "Posterior": [2]},
    }
    samples = open_part(Manifest(dataset(spec), None, folder), "all", folder)
    assert len(samples) == 48
    expected = array(folder / "imagesTr" / f"{samples.ids[7]}_0000.nii.gz")
    np.testing.assert_array_equal(samples.read([7])[0], expected)


def test_volumes_of_the_real_vesselmnist3d(tmp_path: Path) -> None:
    """20 NIfTI files whose names tell the class: read as volumes, by a tree of their own."""
    import zipfile

    from harness.data.readers.volumes import read_volume

    with zipfile.ZipFile(shared("medmnist", "vesselmnist3d_64_samples.zip")) as archive:
        archive.extractall(tmp_path)
    paths = sorted(tmp_path.glob("*.nii"))
    assert len(paths) == 20
    assert all(read_volume(path).GetSize() == (64, 64, 64) for path in paths)


def refused(folder: Path, spec: VolumesReader, sentence: str, kind: type[Exception] = IntegrityError) -> None:
    with pytest.raises(kind, match=sentence):
        write_raw_folder(spec, folder, ["c"], folder / "raw", lambda done: None)
    assert not (folder / "raw").exists()
    assert not list(folder.glob(".harness*"))


def test_a_label_that_no_class_has(tmp_path: Path) -> None:
    write_tree(tmp_path)
    volume(tmp_path / "l/c.nii.gz", grid(1, 3))
    refused(tmp_path, tree(tmp_path), r"has the label [23], which the manifest does not name")


def test_image_and_label_of_different_shapes(tmp_path: Path) -> None:
    write_tree(tmp_path)
    volume(tmp_path / "l/c.nii.gz", grid(1, 1, (3, 4, 6)))
    refused(tmp_path, tree(tmp_path), r"case c have different shapes")


def test_a_missing_image(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "i/c_b.nii.gz").unlink()
    refused(tmp_path, tree(tmp_path), r"c_b\.nii\.gz is missing; the case c needs it", UsageError)


def test_a_damaged_volume(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "i/c_b.nii.gz").write_bytes(b"<html>")
    refused(tmp_path, tree(tmp_path), r"c_b\.nii\.gz is no readable volume")


def test_a_difference_of_other_grids(tmp_path: Path) -> None:
    write_tree(tmp_path)
    volume(tmp_path / "i/c_b.nii.gz", grid(1, shape=(2, 4, 5)))
    spec = tree(tmp_path, channels={"d": {"path": "i/{case}_a.nii.gz", "minus": "i/{case}_b.nii.gz"}})
    refused(tmp_path, spec, r"have not the same grid")


def test_two_labels_of_one_case(tmp_path: Path) -> None:
    write_tree(tmp_path)
    volume(tmp_path / "l/d.nii.gz", grid(1, 1))
    spec = tree(tmp_path, case="c")
    spec = spec.model_copy(update={"channels": {"a": spec.channels["a"].model_copy(update={"path": "i/c_a.nii.gz"})}})
    refused(tmp_path, spec, r"gives the case 'c' 2 times", UsageError)


def test_no_case(tmp_path: Path) -> None:
    refused(tmp_path, tree(tmp_path), r"no label file that fits", UsageError)
