"""MedMNIST's `.npz`, `.npy` stacks of corrupted images, and HDF5: read row by row, never unpickled."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from harness.data.manifests import find_dataset
from harness.data.readers.opening import open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.readers.support import opened, pixels, shared

MEDMNIST = {"kind": "medmnist", "file": "m.npz"}
SPLITS = {name: {"split": name} for name in ("train", "val", "test")}


def medmnist(folder: Path, **changes: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {}
    for split, count in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = pixels(count, 5, 5)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    arrays.update(changes)
    np.savez_compressed(folder / "m.npz", **arrays)
    return arrays


def test_medmnist_splits(tmp_path: Path) -> None:
    arrays = medmnist(tmp_path)
    for split in SPLITS:
        samples = opened(tmp_path, MEDMNIST, SPLITS, split)
        rows = [1, 0, 1]
        assert samples.labels.tolist() == arrays[f"{split}_labels"][:, 0].tolist()
        for row, image in zip(rows, samples.read(rows), strict=True):
            np.testing.assert_array_equal(image, arrays[f"{split}_images"][row])


def test_samples_of_several_splits_in_any_order(tmp_path: Path) -> None:
    arrays = medmnist(tmp_path)
    every = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    rows = [11, 0, 7, 6, 5]
    for row, image in zip(rows, opened(tmp_path, MEDMNIST).read(rows), strict=True):
        np.testing.assert_array_equal(image, every[row])


@pytest.mark.parametrize("name", ["pneumoniamnist", "breastmnist"])
def test_the_real_medmnist_files(name: str) -> None:
    path = shared("medmnist", f"{name}.npz")
    with np.load(path, allow_pickle=False) as arrays:
        images, labels = arrays["test_images"], arrays["test_labels"]
    samples = opened(path.parent, {"kind": "medmnist", "file": path.name}, SPLITS, "test")
    assert samples.labels.tolist() == labels[:, 0].tolist()
    rows = [len(labels) - 1, 0, 17]
    np.testing.assert_array_equal(np.stack(samples.read(rows)), images[rows])


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    medmnist(tmp_path, test_images=np.array([{"run": "code"}] * 4, dtype=object))
    with pytest.raises(IntegrityError, match=r"no plain array of numbers"):
        opened(tmp_path, MEDMNIST)


def test_several_labels_a_sample_are_refused(tmp_path: Path) -> None:
    medmnist(tmp_path, val_labels=np.zeros((2, 14), np.uint8))
    with pytest.raises(IntegrityError, match=r"one whole number a sample"):
        opened(tmp_path, MEDMNIST)


def test_fewer_labels_than_images_are_refused(tmp_path: Path) -> None:
    medmnist(tmp_path, val_labels=np.zeros((1, 1), np.uint8))
    with pytest.raises(IntegrityError, match=r"2 images for val, but 1 labels"):
        opened(tmp_path, MEDMNIST)


def test_a_cut_npz_is_refused(tmp_path: Path) -> None:
    medmnist(tmp_path)
    data = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match=r"not a valid file of arrays"):
        opened(tmp_path, MEDMNIST)


# ---- corrupted test sets


def corrupted(folder: Path, classes: int = 10, count: int = 200, labels: int | None = None) -> dict[str, np.ndarray]:
    """CIFAR-10-C in small: every corruption has 5 levels of `count` images; an image tells where it stands."""
    tree = folder / f"CIFAR-{classes}-C"
    tree.mkdir()
    names = list(find_dataset(f"cifar-{classes}-c").spec.reader.files)  # type: ignore[union-attr]
    made = {}
    for number, name in enumerate(names):
        images = np.zeros((5 * count, 2, 2, 3), np.uint8)
        images[:, 0, 0, 0] = number
        images[:, 0, 0, 1] = np.repeat(np.arange(5), count)
        np.save(tree / f"{name}.npy", images)
        made[name] = images
    once = np.arange(count) * 7 % classes
    np.save(tree / "labels.npy", np.tile(once, 5) if labels is None else once[:labels])
    return made


def test_corruptions_are_ordered_by_name_then_severity(tmp_path: Path) -> None:
    made = corrupted(tmp_path, count=20)
    assert list(made) == sorted(made)
    assert len(made) == 15
    samples = open_part(find_dataset("cifar-10-c"), "all", tmp_path)
    assert len(samples) == 15 * 5 * 20
    images = samples.read(range(0, len(samples), 20))
    assert [(image[0, 0, 0], image[0, 0, 1]) for image in images] == [(c, s) for c in range(15) for s in range(5)]
    assert samples.labels.reshape(15, 5, 20)[3, 2].tolist() == [n * 7 % 10 for n in range(20)]


def test_labels_may_be_stored_once(tmp_path: Path) -> None:
    corrupted(tmp_path, count=20, labels=20)
    samples = open_part(find_dataset("cifar-10-c"), "all", tmp_path)
    assert (samples.labels.reshape(75, 20) == samples.labels[:20]).all()


@pytest.mark.parametrize("classes", [10, 100])
def test_the_positional_sub_sample_is_that_of_fd_shifts(classes: int, tmp_path: Path) -> None:
    """Positions i * P to i * P + P / 10 - 1, P = n / classes, in every cell: 75,000 of 750,000 at full size."""
    rule = find_dataset(f"cifar-{classes}-c").spec.parts["thinned-fd-shifts"].steps[0]
    assert rule.do == "every"
    block = 10_000 // classes
    expected = {i * block + k for i in range(classes) for k in range(block // 10)}
    cell = np.arange(10_000)
    chosen = cell[(cell % rule.of >= rule.start) & (cell % rule.of < rule.stop)]
    assert set(chosen.tolist()) == expected
    assert 75 * len(chosen) == 75_000
    corrupted(tmp_path, classes, count=2 * rule.of)
    samples = open_part(find_dataset(f"cifar-{classes}-c"), "thinned-fd-shifts", tmp_path)
    positions = [int(name.split("/")[2]) for name in samples.ids]
    assert len(samples) == 75 * 2 * rule.stop
    assert set(positions) == {*range(rule.stop), *range(rule.of, rule.of + rule.stop)}


def test_the_balanced_sub_sample_has_as_many_of_every_class(tmp_path: Path) -> None:
    corrupted(tmp_path, count=1200)
    samples = open_part(find_dataset("cifar-10-c"), "thinned-balanced", tmp_path)
    cells: dict[tuple[str, str], list[int]] = {}
    for name, label in zip(samples.ids, samples.labels.tolist(), strict=True):
        file, level, _ = name.split("/")
        cells.setdefault((file, level), []).append(label)
    assert len(cells) == 75
    assert all(np.bincount(labels).tolist() == [100] * 10 for labels in cells.values())


def test_a_severity_can_be_taken_alone(tmp_path: Path) -> None:
    corrupted(tmp_path, count=20)
    samples = open_part(find_dataset("cifar-10-c"), "level-4", tmp_path)
    assert {name.split("/")[1] for name in samples.ids} == {"4"}
    assert len(samples) == 15 * 20


STACK = {"kind": "arrays", "files": {"a": "a.npy", "b": "b.npy"}, "labels": "l.npy", "classes": 3}


def test_a_pickled_npy_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"run": "code"}], dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match=r"a\.npy is no plain array"):
        opened(tmp_path, STACK)


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pixels(4, 8, 8, 3))
    np.save(tmp_path / "b.npy", pixels(5, 8, 8, 3))
    np.save(tmp_path / "l.npy", np.zeros(4, np.uint8))
    with pytest.raises(IntegrityError, match=r"b\.npy is uint8 \(5, 8, 8, 3\)"):
        opened(tmp_path, STACK)


# ---- HDF5

CLOUDS = {"kind": "hdf5", "files": {"train": ["t0.h5", "t1.h5"], "test": ["e0.h5"]}, "first": 16, "classes": 40}


def clouds(path: Path, count: int, **changes: object) -> np.ndarray:
    data = np.random.default_rng(len(path.name) + count).normal(size=(count, 64, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        for name, value in {"data": data, "label": np.arange(count)[:, None] % 40, **changes}.items():
            file[name] = value
    return data


def test_clouds_of_several_files(tmp_path: Path) -> None:
    parts = [clouds(tmp_path / "t0.h5", 5), clouds(tmp_path / "t1.h5", 3), clouds(tmp_path / "e0.h5", 2)]
    every = np.concatenate(parts)
    samples = opened(tmp_path, CLOUDS)
    assert list(samples.ids) == [f"train/{n}" for n in range(8)] + ["test/0", "test/1"]
    for row, cloud in zip((9, 4, 5), samples.read([9, 4, 5]), strict=True):
        np.testing.assert_array_equal(cloud, every[row, :16])


def test_objects_in_hdf5_are_refused(tmp_path: Path) -> None:
    for name in ("t0.h5", "t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    with h5py.File(tmp_path / "t1.h5", "w") as file:
        file["label"] = np.zeros(2, np.int64)
        file.create_dataset("data", data=["a", "b"], dtype=h5py.string_dtype())
    with pytest.raises(IntegrityError, match=r"only arrays of numbers are read"):
        opened(tmp_path, CLOUDS)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    for name in ("t0.h5", "t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    clouds(tmp_path / "secret.h5", 2)
    with h5py.File(tmp_path / "t1.h5", "w") as file:
        file["label"] = np.zeros(2, np.int64)
        file["data"] = h5py.ExternalLink("secret.h5", "/data")
    with pytest.raises(IntegrityError, match=r"no array 'data' of its own"):
        opened(tmp_path, CLOUDS)


def test_raw_bytes_of_other_files_are_not_read(tmp_path: Path) -> None:
    for name in ("t0.h5", "t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    (tmp_path / "secret.bin").write_bytes(bytes(2 * 64 * 3 * 4))
    with h5py.File(tmp_path / "t1.h5", "w") as file:
        file["label"] = np.zeros(2, np.int64)
        place = [(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("data", shape=(2, 64, 3), dtype="f4", external=place)
    with pytest.raises(IntegrityError, match=r"no array 'data' of its own"):
        opened(tmp_path, CLOUDS)


def test_too_few_points_are_refused(tmp_path: Path) -> None:
    for name in ("t0.h5", "t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    with pytest.raises(IntegrityError, match=r"do not fit 2 labels or `first`"):
        opened(tmp_path, {**CLOUDS, "first": 65})


def test_what_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t0.h5").write_bytes(b"<html>not found</html>")
    with pytest.raises((IntegrityError, UsageError), match=r"missing|no readable HDF5"):
        opened(tmp_path, CLOUDS)
    for name in ("t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    with pytest.raises(IntegrityError, match=r"t0\.h5 is no readable HDF5 file"):
        opened(tmp_path, CLOUDS)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("t0.h5", "t1.h5", "e0.h5"):
        clouds(tmp_path / name, 2)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install h5py"):
        opened(tmp_path, CLOUDS)
