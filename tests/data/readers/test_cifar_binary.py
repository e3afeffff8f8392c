"""CIFAR's binary files, and the parts that FD-Shifts makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.manifests import Manifest, find_dataset
from harness.data.readers.opening import open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.readers.support import FINE_OF_COARSE, cifar_10, cifar_100, opened, write


def test_images_are_the_planes_of_the_records(tmp_path: Path) -> None:
    train, test = cifar_100(tmp_path)
    manifest = find_dataset("cifar-100")
    for part, records in (("train", train), ("test", test)):
        samples = open_part(manifest, part, tmp_path)
        assert samples.labels.tolist() == records[:, 1].tolist()
        rows = [5, 0, len(records) - 1]
        for row, image in zip(rows, samples.read(rows), strict=True):
            for channel in range(3):
                for y, x in ((0, 0), (3, 31), (31, 7)):
                    assert image[y, x, channel] == records[row, 2 + 1024 * channel + 32 * y + x]


@pytest.mark.parametrize(("part", "first"), [("super-test", "train"), ("super-shift", "test")])
def test_super_classes_are_as_in_fd_shifts(tmp_path: Path, part: str, first: str) -> None:
    """At one fiftieth of the size: 600 images a class are 12 here, so 19 * 12 test and 19 * 4 * 10 train.

    FD-Shifts lists the images of the test file before those of the training file.
    """
    train, test = cifar_100(tmp_path, per_class=8)
    manifest = find_dataset("cifar-100")
    names = [name for fine in FINE_OF_COARSE.values() for name in fine]
    held = {names.index(fine[2]) for fine in list(FINE_OF_COARSE.values())[:19]}
    files = {"train": train, "test": test}
    expected = [
        (f"{name}/{row}", int(record[0]))
        for name in sorted(files, key=lambda name: name != first)
        for row, record in enumerate(files[name])
        if int(record[1]) in held
    ]
    found = open_part(manifest, part, tmp_path)
    assert list(zip(found.ids, found.labels.tolist(), strict=True)) == expected
    assert len(found) == 19 * 12
    assert sorted(set(found.labels.tolist())) == list(range(19))
    trained = open_part(manifest, "super-train", tmp_path)
    assert len(trained) == 19 * 4 * 8
    assert not set(trained.ids) & set(found.ids)


def test_the_real_sizes_follow_from_the_rules() -> None:
    """19 held-out classes of 500 + 100 images are the 11,400 rows that FD-Shifts' own validator records."""
    steps = find_dataset("cifar-100").spec.parts["super-test"].steps
    kept, dropped = steps[0], steps[1]
    assert kept.do == "keep"
    assert dropped.do == "drop"
    assert len(set(kept.values)) == 20
    assert (len(set(kept.values)) - len(dropped.values)) * 600 == 11_400


def test_validation_is_the_first_thousand_test_items(tmp_path: Path) -> None:
    cifar_10(tmp_path, test=1200)
    manifest = find_dataset("cifar-10")
    first, rest, test = (open_part(manifest, part, tmp_path) for part in ("val-tuning", "iid", "test"))
    assert len(first) == 1000
    assert [*first.ids, *rest.ids] == list(test.ids)


def test_training_files_are_one_after_the_other(tmp_path: Path) -> None:
    cifar_10(tmp_path, train=30)
    samples = open_part(find_dataset("cifar-10"), "train", tmp_path)
    whole = b"".join((tmp_path / f"cifar-10-batches-bin/data_batch_{n}.bin").read_bytes() for n in range(1, 6))
    records = np.frombuffer(whole, np.uint8).reshape(-1, 3073)
    for row, image in zip((0, 29, 30, 149), samples.read([0, 29, 30, 149]), strict=True):
        assert (image.transpose(2, 0, 1).reshape(-1) == records[row, 1:]).all()


READER = {"kind": "cifar-binary", "files": {"test": ["a.bin"]}, "classes": 10}


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    write(tmp_path / "a.bin", bytes(size))
    with pytest.raises(IntegrityError, match=r"no whole number of records"):
        opened(tmp_path, READER)


def test_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", bytes([10]) + bytes(3072))
    with pytest.raises(IntegrityError, match=r"labels from 10 to 10; they must be from 0 to 9"):
        opened(tmp_path, READER)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.bin is missing"):
        opened(tmp_path, READER)


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", bytes([3]) + bytes(3072))
    write(tmp_path / "names.txt", "one\ntwo\n")
    with pytest.raises(IntegrityError, match=r"names 2 classes, but there is a label 3"):
        opened(tmp_path, {**READER, "names": {"class": "names.txt"}})


def test_a_manifest_of_artefacts_has_no_samples(tmp_path: Path) -> None:
    manifest = find_dataset("latec-scores")
    with pytest.raises(UsageError, match=r"latec-scores has no samples"):
        open_part(Manifest(manifest.spec, None, tmp_path), "all", tmp_path)
