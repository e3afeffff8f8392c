"""Image files in folders and tables, and images in parquet files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.manifests import find_dataset
from harness.data.parts import select
from harness.data.readers.decoding import MAX_PIXELS
from harness.data.readers.opening import open_listing, open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.readers.support import opened, pixels, png, write

TREE = {"kind": "image-tree", "pattern": r"(?P<split>train|test)/(?P<label>[^/]+)/[^/]+\.(?:png|jpe?g)"}


def tree(folder: Path) -> dict[str, np.ndarray]:
    made = {}
    for name in ("test/b/1.png", "train/b/2.png", "train/a/10.png", "train/a/9.png", "test/a/x.png"):
        made[name] = pixels(4, 6, 3)
        write(folder / name, png(made[name]))
    return made


def test_a_tree_is_read_in_the_order_of_folders_and_names(tmp_path: Path) -> None:
    made = tree(tmp_path)
    write(tmp_path / "train/a/._9.png", b"resource fork")
    write(tmp_path / "train/readme.txt", "no image")
    samples = opened(tmp_path, TREE)
    assert list(samples.ids) == ["test/a/x.png", "test/b/1.png", "train/a/10.png", "train/a/9.png", "train/b/2.png"]
    assert samples.labels.tolist() == [0, 1, 0, 0, 1]
    for name, image in zip(("train/a/9.png", "test/b/1.png"), samples.read([3, 1]), strict=True):
        np.testing.assert_array_equal(image, made[name])


def test_links_that_lead_back_up_end(tmp_path: Path) -> None:
    made = tree(tmp_path)
    (tmp_path / "train/a/loop").symlink_to(tmp_path / "train")
    reader = {**TREE, "pattern": r"(?P<split>train|test)/(?P<label>[^/]+)/.*[^/]+\.png"}
    assert set(opened(tmp_path, reader).ids) == set(made)


def test_splits_and_classes_of_a_tree(tmp_path: Path) -> None:
    tree(tmp_path)
    parts = {"t": {"split": "train", "steps": [{"do": "keep", "column": "class", "values": ["a"]}]}}
    samples = opened(tmp_path, {**TREE, "classes": ["b", "a"]}, parts, "t")
    assert samples.labels.tolist() == [1, 1]


def test_a_class_that_is_not_named_is_refused(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(IntegrityError, match=r"holds the class 'b', which the manifest does not name"):
        opened(tmp_path, {**TREE, "classes": ["a"]})


def test_a_tree_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file that fits"):
        opened(tmp_path, TREE)
    with pytest.raises(UsageError, match=r"folder .*here is missing"):
        opened(tmp_path, {**TREE, "root": "here"})


def test_breeds_unites_classes_and_shuffles_as_fd_shifts(tmp_path: Path) -> None:
    """12 classes of 900 images: the first 10,000 of the shuffled source images test."""
    classes = [f"n{number:08}" for number in range(13)]
    rows = ["class,label,domain"]
    for number, name in enumerate(classes):
        rows.append(f"{name},{number % 6},{'target' if number == 12 else 'source'}")
        for image in range(900):
            (tmp_path / "train" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / name / f"{name}_{image:04}.JPEG").touch()
    (tmp_path / "train" / "n99999999").mkdir()
    (tmp_path / "train" / "n99999999" / "n99999999_1.JPEG").touch()  # a class that ENTITY-13 leaves out
    write(tmp_path / "entity13.csv", "\n".join(rows))
    manifest = find_dataset("breeds-entity13")
    source = [f"train/{name}/{name}_{image:04}.JPEG" for name in classes[:12] for image in range(900)]
    shuffled = np.array(source)
    np.random.default_rng(12345).shuffle(shuffled)
    listing = open_listing(manifest, tmp_path)
    parts = {name: select(name, manifest.spec.parts, listing, []) for name in manifest.spec.parts}
    test = parts["id-test"]
    assert list(test.ids) == shuffled[:10_000].tolist()
    assert test.labels.tolist() == [classes.index(name.split("/")[1]) % 6 for name in test.ids]
    assert list(parts["train"].ids) == shuffled[10_000:].tolist()
    assert [len(parts[name]) for name in ("val-tuning", "iid")] == [1000, 9000]
    assert {name.split("/")[1] for name in parts["ood-test"].ids} == {classes[12]}


def test_a_table_of_classes_must_be_sound(tmp_path: Path) -> None:
    tree(tmp_path)
    reader = {**TREE, "table": "t.csv"}
    write(tmp_path / "t.csv", "class,label\na,0\na,1\n")
    with pytest.raises(IntegrityError, match=r"lists the class a twice"):
        opened(tmp_path, reader)
    write(tmp_path / "t.csv", "class,label\na,0\nmoon,1\n")
    with pytest.raises(IntegrityError, match=r"no image of the class moon"):
        opened(tmp_path, reader)
    write(tmp_path / "t.csv", "class,label\na,zero\n")
    with pytest.raises(IntegrityError, match=r"labels must be whole numbers"):
        opened(tmp_path, reader)
    write(tmp_path / "t.csv", "name,label\na,0\n")
    with pytest.raises(UsageError, match=r"needs the columns `class` and `label`"):
        opened(tmp_path, reader)


# ---- tables


def table(**changes: Any) -> dict[str, Any]:
    return {"kind": "image-tables", "classes": 3, "tables": [{"file": "t.csv", "path": "i/{name}.png"} | changes]}


def test_camelyon_in_the_layout_of_wilds(tmp_path: Path) -> None:
    root = tmp_path / "camelyon17_v1.0"
    lines = [",patient,node,x_coord,y_coord,tumor,slide,center,split"]
    rng = np.random.default_rng(0)
    truth = []
    for number in range(40):
        patient, node, x, y = int(rng.integers(4, 99)), int(rng.integers(5)), 32 * number, 64 * number
        tumour, center, split = int(rng.integers(2)), int(rng.integers(5)), int(rng.integers(2))
        lines.append(f"{number},{patient:03},{node},{x},{y},{tumour},7,{center},{split}")
        folder = f"patient_{patient:03}_node_{node}"
        name = f"patches/{folder}/patch_{folder}_x_{x}_y_{y}.png"
        image = pixels(3, 3, 3)
        write(root / name, png(image))
        truth.append((f"camelyon17_v1.0/{name}", tumour, center, split, image))
    write(root / "metadata.csv", "\n".join(lines))
    manifest = find_dataset("camelyon17")
    wanted = {
        "train": [t for t in truth if t[3] == 0 and t[2] in (0, 3, 4)],
        "id-val": [t for t in truth if t[3] == 1 and t[2] in (0, 3, 4)],
        "val": [t for t in truth if t[2] == 1],
        "test": [t for t in truth if t[2] == 2],
    }
    for part, rows in wanted.items():
        samples = open_part(manifest, part, tmp_path)
        assert list(samples.ids) == [row[0] for row in rows]
        assert samples.labels.tolist() == [row[1] for row in rows]
        np.testing.assert_array_equal(samples.read([len(rows) - 1])[0], rows[-1][4])


def test_iwildcam_in_the_layout_of_wilds(tmp_path: Path) -> None:
    splits = ["train", "id_test", "test", "id_val", "val"] * 2
    rows = [f"{split},{number},{number * 9},{number}.jpg" for number, split in enumerate(splits)]
    write(tmp_path / "iwildcam_v2.0/metadata.csv", "\n".join(["split,location,y,filename", *rows]))
    manifest = find_dataset("iwildcam")
    samples = open_part(manifest, "id-test", tmp_path)
    assert list(samples.ids) == ["iwildcam_v2.0/train/1.jpg", "iwildcam_v2.0/train/6.jpg"]
    assert samples.labels.tolist() == [9, 54]
    with pytest.raises(UsageError, match=r"rows 0 to 1000 are asked for, but there are 2"):
        open_part(manifest, "val-tuning", tmp_path)


def test_isic_takes_the_one_column_that_is_hot(tmp_path: Path) -> None:
    names = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    rows = [f"I{n}," + ",".join("1.0" if k == n % 8 else "0.0" for k in range(9)) for n in range(40)]
    write(tmp_path / "ISIC_2019_Training_GroundTruth.csv", "\n".join([names, *rows]))
    manifest = find_dataset("isic-2019")
    test, train = (open_part(manifest, part, tmp_path) for part in ("test", "train"))
    drawn = sorted(np.random.default_rng(12345).choice(40, 10, replace=False).tolist())
    assert list(test.ids) == [f"ISIC_2019_Training_Input/I{n}.jpg" for n in drawn]
    assert test.labels.tolist() == [n % 8 for n in drawn]
    assert len(train) == 30
    assert not set(train.ids) & set(test.ids)


def test_the_quarters_of_realistic_al_have_the_sizes_of_the_paper() -> None:
    for name, images, test in (("isic-2019", 25_331, 6_332), ("mio-tcd", 519_164, 129_791)):
        step = find_dataset(name).spec.parts["test"].steps[0]
        assert step.do == "hold-out"
        assert int(step.share * images) == test


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../../b", "..", "a\\..\\b"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "t.csv", f"name,y\n{name},0\n")
    with pytest.raises(IntegrityError, match=r"leads out of the data set's folder"):
        opened(tmp_path, table(path="{name}", label="y"))


def test_absolute_paths_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,y\n/etc/passwd,0\n")
    with pytest.raises(IntegrityError, match=r"leads out"):
        opened(tmp_path, table(path="{name}", label="y"))


@pytest.mark.parametrize("label", ["", "-1", "1.5", "many", "nan"])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, label: str) -> None:
    write(tmp_path / "t.csv", f"name,y\na,0\nb,{label}\n")
    with pytest.raises(IntegrityError, match=r"row 1 \(counted from 0\) has no label"):
        opened(tmp_path, table(label="y"))


def test_a_label_above_the_classes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,y\na,3\n")
    with pytest.raises(IntegrityError, match=r"from 3 to 3; they must be from 0 to 2"):
        opened(tmp_path, table(label="y"))


def test_an_image_listed_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,y\na,0\nb,1\na,2\n")
    with pytest.raises(IntegrityError, match=r"i/a\.png twice"):
        opened(tmp_path, table(label="y"))


def test_a_missing_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,y\na,0\n")
    samples = opened(tmp_path, table(label="y"))
    with pytest.raises(IntegrityError, match=r"i/a\.png cannot be read: No such file"):
        samples.read([0])


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,label\na,0\n")
    with pytest.raises(UsageError, match=r"no column in .* is called 'labell'; did you mean label"):
        opened(tmp_path, table(label="labell"))
    with pytest.raises(UsageError, match=r"no column 'nam', which 'i/{nam}' needs"):
        opened(tmp_path, table(label="label", path="i/{nam}"))


def test_a_join_must_be_unique(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "name,y\na,0\n")
    write(tmp_path / "o.csv", "name,site\na,x\na,y\n")
    with pytest.raises(IntegrityError, match=r"several rows of one name"):
        opened(tmp_path, table(label="y", join="o.csv", on=["name"]))


# ---- decoding


def one_image(folder: Path, data: bytes) -> np.ndarray:
    write(folder / "test/a/x.png", data)
    return opened(folder, TREE).read([0])[0]


def test_grey_palette_and_transparent_images(tmp_path: Path) -> None:
    from PIL import Image

    grey = pixels(4, 4)
    np.testing.assert_array_equal(one_image(tmp_path, png(grey)), np.repeat(grey[:, :, None], 3, axis=2))
    rgba = np.dstack([pixels(4, 4, 3), np.full((4, 4), 9, np.uint8)])
    np.testing.assert_array_equal(one_image(tmp_path, png(rgba)), rgba[:, :, :3])
    palette = Image.fromarray(pixels(4, 4, 3)).quantize(4)
    palette.save(tmp_path / "test/a/x.png")
    np.testing.assert_array_equal(opened(tmp_path, TREE).read([0])[0], np.asarray(palette.convert("RGB")))


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(IntegrityError, match=r"pixels, more than the 100000000 allowed"):
        one_image(tmp_path, bomb)


def test_sixteen_bit_images_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "test/a").mkdir(parents=True)
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000).save(tmp_path / "test/a/x.png")
    with pytest.raises(IntegrityError, match=r"is no 8-bit image"):
        opened(tmp_path, TREE).read([0])


@pytest.mark.parametrize("data", [b"", b"<html>sorry</html>", png(pixels(64, 64, 3))[:300]])
def test_what_is_no_whole_image_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"x\.png is no readable image"):
        one_image(tmp_path, data)


# ---- parquet

PARQUET = {"kind": "hub-images", "files": {"train": ["d/train-*.parquet"], "test": ["d/test.parquet"]}, "classes": 10}


def parquet(path: Path, images: list[Any], labels: list[Any], group: int = 3) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": labels}), path, row_group_size=group)


def test_images_of_parquet_files_in_any_order(tmp_path: Path) -> None:
    images = [pixels(4, 5, 3) for _ in range(12)]
    cells = [{"bytes": png(image), "path": None} for image in images]
    parquet(tmp_path / "d/train-00001.parquet", cells[5:8], [5, 6, 7])
    parquet(tmp_path / "d/train-00000.parquet", cells[:5], [0, 1, 2, 3, 4])
    parquet(tmp_path / "d/test.parquet", cells[8:], [8, 9, 0, 1])
    samples = opened(tmp_path, PARQUET)
    assert samples.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    rows = [11, 4, 5, 3, 4]
    for row, image in zip(rows, samples.read(rows), strict=True):
        np.testing.assert_array_equal(image, images[row])
    test = opened(tmp_path, PARQUET, {"t": {"split": "test"}}, "t")
    assert list(test.ids) == ["test/0", "test/1", "test/2", "test/3"]
    np.testing.assert_array_equal(test.read([2])[0], images[10])


def test_plain_bytes_are_images_too(tmp_path: Path) -> None:
    image = pixels(4, 5, 3)
    parquet(tmp_path / "d/train-0.parquet", [png(image)], [1])
    parquet(tmp_path / "d/test.parquet", [png(image)], [1])
    np.testing.assert_array_equal(opened(tmp_path, PARQUET).read([1])[0], image)


def test_parquet_mistakes(tmp_path: Path) -> None:
    good = [{"bytes": png(pixels(2, 2)), "path": None}]
    parquet(tmp_path / "d/train-0.parquet", good, [0])
    with pytest.raises(UsageError, match=r"d/test\.parquet is missing"):
        opened(tmp_path, PARQUET)
    parquet(tmp_path / "d/test.parquet", good, [None])
    with pytest.raises(IntegrityError, match=r"1 rows without a label"):
        opened(tmp_path, PARQUET)
    parquet(tmp_path / "d/test.parquet", [{"bytes": None, "path": "/etc/passwd"}], [0])
    with pytest.raises(IntegrityError, match=r"row 0 \(counted from 0\) of group 0 holds no image"):
        opened(tmp_path, PARQUET).read([1])
    write(tmp_path / "d/test.parquet", b"PAR1 nothing")
    with pytest.raises(IntegrityError, match=r"no readable parquet file"):
        opened(tmp_path, PARQUET)
    parquet(tmp_path / "d/test.parquet", good, [0])
    with pytest.raises(UsageError, match=r"no column in .* is called 'img'"):
        opened(tmp_path, {**PARQUET, "image": "img"})
