"""From fetched files to the files that protocols name: made once, anew when something changed, never half."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data import catalog, forms, prepare
from harness.data.fetch import FetchOptions, fetch
from harness.data.locking import lock_dataset
from harness.data.manifests import find_dataset
from harness.data.prepare import ProductJob, jobs_for
from harness.data.prepare import prepare as make
from harness.data.readers.opening import open_part, part_id
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, RunLock, RunLockedError, read_arrays, read_json
from tests.data.readers.support import cifar_10, pixels, png, shared, write

MANIFEST = """
id = "mine"
title = "Mine"
licence = "none"
citation = ["me"]
[[files]]
path = "images"
origin = { kind = "own", page = "https://example.org" }
folder = true
[reader]
kind = "image-tree"
pattern = 'images/(?P<label>[^/]+)/[^/]+\\.png'
[parts.all]
[parts.few]
steps = [{ do = "shuffle", seed = 1 }, { do = "rows", stop = 5 }]
[[products]]
path = "mine/all.npz"
parts = ["all"]
form = { kind = "images" }
[[products]]
path = "mine/few.npz"
parts = ["few"]
form = { kind = "images", size = [4, 4], scale = 255.0, channels = "first", background = 2 }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's data set, fetched from the user's own folder; returns the manifest."""
    for number in range(12):
        write(tmp_path / f"disk/images/{'ab'[number % 2]}/{number:02}.png", png(pixels(6, 6, 3)))
    path = write(tmp_path / "mine/source.toml", MANIFEST)
    fetch(find_dataset(path), FetchOptions(source=tmp_path / "disk"))
    return path


def jobs(path: Path, pattern: str = "*") -> list[ProductJob]:
    return jobs_for(str(path), pattern)


def test_products_are_what_parts_and_form_say(own: Path, cache: Path) -> None:
    assert [make(job) for job in jobs(own)] == [True, True]
    manifest = find_dataset(own)
    folder = cache / "data/sets" / manifest.key
    everything, few = (open_part(manifest, part, folder) for part in ("all", "few"))
    arrays = read_arrays(catalog.prepared_folder() / "mine/all.npz")
    np.testing.assert_array_equal(arrays["inputs"], np.stack(everything.read(range(12))))
    assert arrays["labels"].tolist() == everything.labels.tolist()
    arrays = read_arrays(catalog.prepared_folder() / "mine/few.npz")
    assert arrays["inputs"].shape == (5, 3, 4, 4)
    np.testing.assert_array_equal(arrays["background"], arrays["inputs"][:2])
    assert arrays["labels"].tolist() == few.labels.tolist()
    record = read_json(catalog.prepared_folder() / "mine/.few.npz.made.json")
    assert record["parts"] == {"few": part_id(few)}


def test_what_is_there_is_left_alone(own: Path) -> None:
    for job in jobs(own):
        make(job)
    before = [job.path.stat().st_mtime_ns for job in jobs(own)]
    assert [make(job) for job in jobs(own)] == [False, False]
    assert [job.path.stat().st_mtime_ns for job in jobs(own)] == before


def test_a_changed_file_makes_products_anew(own: Path, tmp_path: Path) -> None:
    (job,) = jobs(own, "*/all.npz")
    make(job)
    write(tmp_path / "disk/images/a/00.png", png(np.zeros((6, 6, 3), np.uint8)))
    assert make(job)
    assert read_arrays(job.path)["inputs"][0].max() == 0


def test_a_changed_rule_makes_products_anew(own: Path) -> None:
    make(jobs(own, "*few*")[0])
    write(own, MANIFEST.replace("stop = 5", "stop = 4"))
    (job,) = jobs(own, "*few*")
    assert make(job)
    assert len(read_arrays(job.path)["labels"]) == 4


def test_a_changed_list_beside_the_manifest_makes_products_anew(own: Path) -> None:
    text = MANIFEST.replace("[parts.all]\n", '[parts.all]\nsteps = [{ do = "list", file = "l.txt" }]\n')
    write(own, text)
    write(own.parent / "l.txt", "images/b/03.png\nimages/a/02.png\n")
    (job,) = jobs(own, "*/all.npz")
    assert make(job)
    assert not make(job)
    assert read_arrays(job.path)["labels"].tolist() == [1, 0]
    write(own.parent / "l.txt", "images/a/02.png\n")
    assert make(job)


def test_a_lost_record_or_product_is_no_harm(own: Path) -> None:
    (job,) = jobs(own, "*few*")
    make(job)
    record = job.path.with_name(".few.npz.made.json")
    record.write_text("{")
    assert make(job)
    record.unlink()
    assert make(job)
    job.path.unlink()
    assert make(job)


def test_an_interrupted_preparation_leaves_no_half_file(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "BATCH", 4)
    (job,) = jobs(own, "*/all.npz")

    def stop(done: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(job, stop)
    assert not list(job.path.parent.iterdir())
    assert make(job)


def test_a_damaged_image_keeps_the_old_product(own: Path, tmp_path: Path) -> None:
    (job,) = jobs(own, "*/all.npz")
    make(job)
    before = job.path.read_bytes()
    write(tmp_path / "disk/images/b/11.png", b"<html>")
    with pytest.raises(IntegrityError, match=r"11\.png is no readable image"):
        make(job)
    assert job.path.read_bytes() == before
    write(tmp_path / "disk/images/b/11.png", png(pixels(6, 6, 3)))
    assert make(job)


def test_leftovers_of_a_killed_preparation_are_removed(own: Path) -> None:
    (job,) = jobs(own, "*few*")
    stale = write(job.path.parent / ".harness-0123456789abcdef.tmp", b"half")
    make(job)
    assert not stale.exists()


def test_only_one_prepares_at_a_time(own: Path) -> None:
    (job,) = jobs(own, "*few*")
    job.path.parent.mkdir(parents=True)
    with RunLock(job.path.parent), pytest.raises(RunLockedError, match=r"is writing to"):
        make(job)


def test_a_full_disk_is_told_before(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"takes 0\.0 GB, but .* has 0\.0 GB left; make room, or set HARNESS_CACHE"):
        make(jobs(own, "*few*")[0])


def test_data_that_are_not_fetched_are_asked_for() -> None:
    with pytest.raises(UsageError, match=r"run: harness data fetch vesselmnist3d"):
        make(jobs_for("vesselmnist3d")[0])


def test_names_that_mean_nothing() -> None:
    with pytest.raises(UsageError, match=r"no data set or benchmark is called 'cifar-11'; did you mean"):
        jobs_for("cifar-11")
    with pytest.raises(UsageError, match=r"confidence-mnist has no file that is made from data sets"):
        jobs_for("confidence-mnist")
    with pytest.raises(UsageError, match=r"no product is called 'x\*'"):
        jobs_for("cifar-10", "x*")


def test_a_part_that_is_not_as_it_was_locked_is_refused(own: Path, tmp_path: Path) -> None:
    lock = lock_dataset(find_dataset(own), FetchOptions(source=tmp_path / "disk"))
    manifest = find_dataset(own)
    samples = open_part(manifest, "few", catalog.cache_folder() / "data/sets" / manifest.key)
    assert read_json(lock)["parts"]["few"] == part_id(samples)
    (job,) = jobs(own, "*few*")
    assert make(job)
    write(tmp_path / "disk/images/a/99.png", png(pixels(6, 6, 3)))
    with pytest.raises(IntegrityError, match=r"the part few of mine has other samples than when"):
        make(job)


@pytest.mark.parametrize(
    ("benchmark", "count"), [("attribution-latec@2", 36), ("attribution-latec@3", 36), ("query-realistic-al", 8)]
)
def test_benchmarks_at_paper_scale_get_all_their_files(benchmark: str, count: int) -> None:
    found = jobs_for(benchmark)
    assert len({job.product.path for job in found}) == len(found) == count
    source: Any = catalog.find_protocol(benchmark).benchmark.source
    if benchmark.startswith("attribution"):
        files = {each.file.path for each in source.sets} | {model.weights.path for model in source.models}
    else:
        files = {file.path for each in source.datasets for file in each.files}
    assert {job.product.path for job in found} == files


def test_nnactive_gets_all_its_folders() -> None:
    source: Any = catalog.find_protocol("query-nnactive").benchmark.source
    assert {job.product.path for job in jobs_for("query-nnactive")} == {each.folder for each in source.datasets}


def test_realistic_al_trains_on_prepared_cifar_10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frozen protocol finds the prepared files and opens them as it opens files laid beside it."""
    from harness.tracks.query.classification.data import open_images
    from harness.tracks.query.sources import Setting

    cifar_10(tmp_path / "tree", train=1100, test=30)
    monkeypatch.setattr(prepare, "dataset_folder", lambda manifest: tmp_path / "tree")
    for job in jobs_for("query-realistic-al", "*cifar10-*"):
        assert make(job)
    protocol = catalog.find_protocol("query-realistic-al@2")
    setting = Setting(protocol, next(s for s in protocol.benchmark.studies if s.id == "cifar10-low-st"))  # type: ignore[arg-type, attr-defined]
    assert setting.absent() == ()
    images = open_images(setting, seed=0)
    assert images.test_inputs.shape == (30, 3, 32, 32)
    assert len(images.pool_targets) == 500
    first = np.frombuffer((tmp_path / "tree/cifar-10-batches-bin/test_batch.bin").read_bytes()[1:3073], np.uint8)
    mean, std = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.2023, 0.1994, 0.2010])
    expected = (first.reshape(3, 32, 32) / np.float32(255) - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(images.test_inputs[0], expected, rtol=1e-5)


def test_nnactive_opens_the_prepared_hippocampus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real volumes in the Decathlon's layout become the folder that the frozen protocol names."""
    pytest.importorskip("SimpleITK")
    from harness.spec.query import RawFolder
    from harness.tracks.query.segmentation.raw_folder import RawFolderCases

    source = shared("hippocampus")
    root = tmp_path / "tree/Task04_Hippocampus"
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    for path in sorted((source / "labelsTr").glob("*.nii.gz"))[:8]:
        (root / "labelsTr" / path.name).symlink_to(path)
        image = source / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz")
        (root / "imagesTr" / path.name).symlink_to(image)
    monkeypatch.setattr(prepare, "dataset_folder", lambda manifest: tmp_path / "tree")
    (job,) = jobs_for("hippocampus")
    assert make(job)
    assert not make(job)
    protocol = catalog.find_protocol("query-nnactive@1")
    place = protocol.locate("Dataset004_Hippocampus")
    assert place == job.path
    assert str(place) in protocol.private_folders()
    dataset = RawFolder(kind="nnunet-raw", id="hippocampus", folder="Dataset004_Hippocampus", validation_share=0.25)
    (tmp_path / "scratch").mkdir()
    cases = RawFolderCases(dataset, place, None, tmp_path / "scratch")
    assert len(cases.pool) + len(cases.held_out) == 8
    assert cases.classes == ("background", "Anterior", "Posterior")


def test_latec_opens_a_prepared_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VesselMNIST3D in small: the first 50 of a DataLoader's order, divided by 510."""
    import torch
    from torch.utils.data import DataLoader

    volumes = {
        f"{split}_images": pixels(count, 28, 28, 28) for split, count in (("train", 3), ("val", 2), ("test", 60))
    }
    labels = {
        f"{split}_labels": np.arange(n, dtype=np.uint8)[:, None] % 2
        for split, n in (("train", 3), ("val", 2), ("test", 60))
    }
    (tmp_path / "tree").mkdir()
    np.savez_compressed(tmp_path / "tree/vesselmnist3d.npz", **volumes, **labels)
    monkeypatch.setattr(prepare, "dataset_folder", lambda manifest: tmp_path / "tree")
    (job,) = jobs_for("attribution-latec@3", "*vessel.npz")
    make(job)
    path = catalog.find_protocol("attribution-latec@3").locate("attribution-latec/vessel.npz")
    arrays = read_arrays(path)
    numbers: Any = list(range(60))
    order = next(iter(DataLoader(numbers, batch_size=50, shuffle=True, generator=torch.Generator().manual_seed(0))))
    expected = volumes["test_images"][order.numpy()].astype(np.float32)[:, None] / np.float32(510)
    np.testing.assert_array_equal(arrays["inputs"], expected)
    np.testing.assert_array_equal(arrays["background"], expected)
    assert arrays["labels"].tolist() == (order.numpy() % 2).tolist()
    assert {name: array.dtype.kind for name, array in arrays.items()} == {
        "inputs": "f",
        "labels": "i",
        "background": "f",
    }
