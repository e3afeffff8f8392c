"""Images as the benchmark says, and every file that is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.data.embedded import mnist_5k
from harness.spec.errors import UsageError
from harness.storage import write_arrays
from harness.tracks.query.classification.data import open_images
from tests.tracks.query.classification.support import CLASSES, SIDE, easy_images, setting_of, write_benchmark


def test_images_are_scaled_and_normalised(tmp_path):
    dataset = 'channels = "last"\nscale = 255.0\nmean = [0.5, 0.25, 0.0]\nstd = [0.5, 2.0, 1.0]\nvalidation = 12'
    images = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, channels=3)))
    raw, labels = easy_images(30, seed=1, channels=3)
    assert images.test_inputs.shape == (30, 3, SIDE, SIDE)
    assert images.test_inputs.dtype == np.float32
    for channel, (mean, std) in enumerate([(0.5, 0.5), (0.25, 2.0), (0.0, 1.0)]):
        expected = (raw[..., channel] / 255 - mean) / std
        np.testing.assert_allclose(images.test_inputs[:, channel], expected, atol=1e-6)
    np.testing.assert_array_equal(images.test_targets, labels)
    assert images.test_targets.dtype == np.int64
    assert images.mirrored


@pytest.mark.parametrize(("channels", "shape"), [("none", (SIDE, SIDE)), ("first", (2, SIDE, SIDE))])
def test_other_layouts(tmp_path, channels, shape):
    for name in ("train", "test"):
        inputs = np.arange(20 * np.prod(shape)).reshape(20, *shape)
        write_arrays(tmp_path / f"{name}.npz", {"inputs": inputs, "labels": np.arange(20)[:, None] % CLASSES})
    dataset = f'channels = "{channels}"'
    images = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, images=False)))
    np.testing.assert_array_equal(images.pool_inputs.reshape(20, *shape), inputs)


def test_one_file_in_the_layout_of_medmnist(tmp_path):
    arrays = {}
    for part, count in (("train", 21), ("val", 6), ("test", 9)):
        inputs, labels = easy_images(count, seed=count)
        arrays |= {f"{part}_images": inputs, f"{part}_labels": labels[:, None].astype(np.uint8)}
    write_arrays(tmp_path / "train.npz", arrays)
    write_arrays(tmp_path / "test.npz", arrays)
    dataset = 'inputs = "{part}_images"\nlabels = "{part}_labels"'
    images = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, images=False)))
    np.testing.assert_array_equal(images.pool_inputs[:, 0], arrays["train_images"])
    np.testing.assert_array_equal(images.test_inputs[:, 0], arrays["test_images"])


def test_validation_images_in_a_file_of_their_own(tmp_path):
    arrays = {}
    for part, count in (("train", 21), ("val", 6), ("test", 9)):
        inputs, labels = easy_images(count, seed=count)
        arrays |= {f"{part}_images": inputs, f"{part}_labels": labels}
    for name in ("train", "test", "all"):
        write_arrays(tmp_path / f"{name}.npz", arrays)
    dataset = 'inputs = "{part}_images"\nlabels = "{part}_labels"\nval = { path = "all.npz" }'
    whole = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, images=False)))
    few = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, images=False, study="validation = 2")), 5)
    np.testing.assert_array_equal(whole.pool_inputs[:, 0], arrays["train_images"])
    np.testing.assert_array_equal(whole.validation_inputs[:, 0], arrays["val_images"])
    np.testing.assert_array_equal(whole.validation_targets, arrays["val_labels"])
    np.testing.assert_array_equal(few.validation_inputs[:, 0], arrays["val_images"][:2])
    np.testing.assert_array_equal(few.pool_targets, arrays["train_labels"])


def test_validation_images_of_another_size(tmp_path):
    path = write_benchmark(tmp_path, dataset='val = { path = "val.npz" }')
    write_arrays(tmp_path / "val.npz", {"inputs": np.zeros((3, 5, 5)), "labels": np.zeros(3, np.int64)})
    with pytest.raises(UsageError, match=r"val.npz has images .* those of train.npz are .*; bring them to one size"):
        open_images(setting_of(path))


@pytest.mark.parametrize("other", ["validation = 3", 'splits = { path = "splits.json" }'])
def test_validation_images_are_said_once(tmp_path, other):
    with pytest.raises(UsageError, match="the validation images are those of `val`"):
        write_benchmark(tmp_path, dataset=f'val = {{ path = "val.npz" }}\n{other}')


def test_the_pool_in_an_order_of_its_own(tmp_path):
    def pool(order: str, seed: int) -> np.ndarray:
        return open_images(setting_of(write_benchmark(tmp_path, dataset=f"validation = 12\n{order}")), seed).pool_inputs

    for seed in (1, 2):
        plain, one, other = pool("", seed), pool("pool_seed = 0", seed), pool("pool_seed = 1", seed)
        np.testing.assert_array_equal(one, plain[np.random.default_rng(0).permutation(len(plain))])
        assert not np.array_equal(one, other)
        assert {image.tobytes() for image in one} == {image.tobytes() for image in other}


def test_validation_is_drawn_by_the_seed_and_the_rest_is_the_pool(tmp_path):
    setting = setting_of(write_benchmark(tmp_path))
    every = {image.tobytes() for image in easy_images(60, seed=0)[0].astype(np.float32) / np.float32(255)}
    first, again, other = (open_images(setting, seed) for seed in (1, 1, 2))
    for images in (first, other):
        pool, held = ([image.tobytes() for image in part] for part in (images.pool_inputs, images.validation_inputs))
        assert (len(pool), len(held)) == (48, 12)
        assert set(pool) | set(held) == every
    np.testing.assert_array_equal(first.validation_inputs, again.validation_inputs)
    assert not np.array_equal(first.validation_inputs, other.validation_inputs)
    np.testing.assert_array_equal(first.test_inputs, other.test_inputs)


def test_a_study_validates_on_the_first_images_only(tmp_path):
    whole = open_images(setting_of(write_benchmark(tmp_path)), 1)
    few = open_images(setting_of(write_benchmark(tmp_path, study="validation = 5")), 1)
    np.testing.assert_array_equal(few.validation_inputs, whole.validation_inputs[:5])
    np.testing.assert_array_equal(few.pool_inputs, whole.pool_inputs)
    assert len(open_images(setting_of(write_benchmark(tmp_path, study="validation = 0")), 1).validation_targets) == 0


def test_pinned_parts(tmp_path):
    (tmp_path / "parts.json").write_text(json.dumps({"pool": [7, 3, 5], "validation": [9, 1]}))
    dataset = 'splits = { path = "parts.json" }'
    images = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset)), 1)
    raw = easy_images(60, seed=0)[0]
    np.testing.assert_array_equal(images.pool_inputs[:, 0], raw[[3, 5, 7]])
    np.testing.assert_array_equal(images.validation_inputs[:, 0], raw[[9, 1]])


def test_the_long_tail_of_cifar_10_lt(tmp_path):
    labels = np.repeat(np.arange(10), 4600)
    arrays = {"inputs": np.zeros((46000, 1, 1), dtype=np.uint8), "labels": labels}
    write_arrays(tmp_path / "train.npz", arrays)
    write_arrays(tmp_path / "test.npz", arrays)
    dataset = "imbalance = 50.0\nlargest = 4500"
    path = write_benchmark(tmp_path, images=False, dataset=dataset).path
    path.write_text(path.read_text().replace("classes = 3", "classes = 10"))
    images = open_images(setting_of(load_protocol(path)), 1)
    expected = [4500, 2913, 1886, 1221, 790, 512, 331, 214, 139, 90]  # of the published protocol
    np.testing.assert_array_equal(np.bincount(images.pool_targets), expected)
    assert len(images.test_targets) == 46000


def test_a_long_tail_without_a_number_begins_at_class_0(tmp_path):
    images = open_images(setting_of(write_benchmark(tmp_path, dataset="imbalance = 4.0")), 1)
    np.testing.assert_array_equal(np.bincount(images.pool_targets), [20, 10, 5])


GOOD = easy_images(60, seed=0)
LAYOUT = "scale = 255.0\nvalidation = 12"


@pytest.mark.parametrize(
    ("arrays", "dataset", "message"),
    [
        ({"images": GOOD[0], "labels": GOOD[1]}, LAYOUT, "array in .*'inputs'"),
        ({"inputs": GOOD[0]}, LAYOUT, "array in .*'labels'"),
        ({"inputs": GOOD[0], "labels": GOOD[1][:-1]}, LAYOUT, "one whole number for each of the 60 inputs"),
        ({"inputs": GOOD[0], "labels": GOOD[1] / 2}, LAYOUT, "labels are float64"),
        ({"inputs": GOOD[0], "labels": np.eye(3)[GOOD[1]].astype(int)}, LAYOUT, r"labels are int64 \(60, 3\)"),
        ({"inputs": GOOD[0], "labels": GOOD[1] + 1}, LAYOUT, "labels go from 1 to 3"),
        ({"inputs": GOOD[0], "labels": GOOD[1] - 1}, LAYOUT, "labels go from -1 to 1"),
        ({"inputs": GOOD[0][:0], "labels": GOOD[1][:0]}, LAYOUT, "labels are none"),
        ({"inputs": GOOD[0].astype(str), "labels": GOOD[1]}, LAYOUT, "save them as numbers"),
        ({"inputs": GOOD[0], "labels": GOOD[1]}, 'channels = "last"', r"`channels` = 'last' it is \(n, h, w, c\)"),
        ({"inputs": GOOD[0][..., None], "labels": GOOD[1]}, LAYOUT, r"`channels` = 'none' it is \(n, h, w\)"),
        ({"inputs": GOOD[0], "labels": GOOD[1]}, "mean = [0.1, 0.2]", "2 numbers in `mean` for 1 channels"),
        ({"inputs": GOOD[0], "labels": GOOD[1]}, "std = [0.1, 0.2]", "2 numbers in `std` for 1 channels"),
        ({"inputs": np.where(GOOD[0] > 250, np.nan, 1.0), "labels": GOOD[1]}, LAYOUT, "NaN or infinite"),
        ({"inputs": GOOD[0] * 1e30, "labels": GOOD[1]}, LAYOUT, "values as large as .*e.30, .* by `scale`, `mean` and"),
        ({"inputs": GOOD[0], "labels": GOOD[1]}, "validation = 60", "leaves no pool"),
        ({"inputs": GOOD[0][:, :5], "labels": GOOD[1]}, LAYOUT, "bring them to one size"),
    ],
)
def test_files_that_are_not_what_the_benchmark_says(tmp_path, arrays, dataset, message):
    protocol = write_benchmark(tmp_path, dataset=dataset)
    write_arrays(tmp_path / "train.npz", arrays)
    with pytest.raises(UsageError, match=message):
        open_images(setting_of(protocol))


def test_a_file_that_holds_no_plain_arrays(tmp_path):
    protocol = write_benchmark(tmp_path)
    np.savez(tmp_path / "train.npz", inputs=np.array([{}], dtype=object), labels=GOOD[1])
    with pytest.raises(UsageError, match=r"unsafe dtype.*numpy\.savez"):
        open_images(setting_of(protocol))
    (tmp_path / "train.npz").write_bytes(b"no archive")
    with pytest.raises(UsageError, match="not a valid file of arrays"):
        open_images(setting_of(protocol))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON object with lists of indices pool, validation"),
        ("[" * 100_000, "JSON object with lists of indices pool, validation"),
        ("[]", "JSON object with lists of indices"),
        ('{"pool": [1]}', "JSON object with lists of indices"),
        ('{"pool": [1, 60], "validation": []}', "pool must list whole numbers from 0 to 59"),
        ('{"pool": [1], "validation": [-1]}', "validation must list whole numbers"),
        ('{"pool": [1.0], "validation": []}', "pool must list whole numbers"),
        ('{"pool": [true], "validation": []}', "pool must list whole numbers"),
        ('{"pool": 3, "validation": []}', "pool must list whole numbers"),
        ('{"pool": [], "validation": [1]}', "pool is empty"),
        ('{"pool": [1, 2, 2], "validation": [1]}', "2 images more than once"),
    ],
)
def test_parts_that_are_none(tmp_path, content, message):
    (tmp_path / "parts.json").write_text(content)
    protocol = write_benchmark(tmp_path, dataset='splits = { path = "parts.json" }')
    with pytest.raises(UsageError, match=message):
        open_images(setting_of(protocol))


def test_more_validation_than_there_is(tmp_path):
    with pytest.raises(UsageError, match="asks for 13 validation images, but mine has 12"):
        open_images(setting_of(write_benchmark(tmp_path, study="validation = 13")))


def test_digits_are_mnist(tmp_path):
    pixels, labels = mnist_5k()
    parts = {"pool": [4000, 10, 700], "validation": [2], "test": [4999, 0]}
    (tmp_path / "splits.json").write_text(json.dumps(parts))
    path = write_benchmark(tmp_path).path
    text = path.read_text()
    head, rest = text.split("[[source.datasets]]")
    digits = '[[source.datasets]]\nkind = "digits"\nid = "mine"\nsplits = { path = "splits.json" }\n'
    path.write_text(head + digits + "[[studies]]" + rest.split("[[studies]]")[1])
    images = open_images(setting_of(load_protocol(path)))
    np.testing.assert_array_equal(images.pool_targets, labels[[10, 700, 4000]])
    np.testing.assert_array_equal(images.test_targets, labels[[4999, 0]])
    back = np.rint((images.pool_inputs[:, 0] * 0.3081 + 0.1307) * 255)
    np.testing.assert_array_equal(back, pixels[[10, 700, 4000]])
    assert not images.mirrored
    path.write_text(path.read_text().replace('id = "mine"', 'id = "mine"\nclasses = 5'))
    with pytest.raises(UsageError, match="not below `classes` = 5"):
        open_images(setting_of(load_protocol(path)))


def test_black_and_white_are_those_of_8_bit_images_and_else_what_the_pool_has(tmp_path):
    dataset = 'channels = "last"\nscale = 255.0\nmean = [0.5, 0.25, 0.0]\nstd = [0.5, 2.0, 1.0]\nvalidation = 12'
    images = open_images(setting_of(write_benchmark(tmp_path, dataset=dataset, channels=3)))
    np.testing.assert_allclose(images.black, [-1, -0.125, 0], atol=1e-6)
    np.testing.assert_allclose(images.white, [1, 0.375, 1], atol=1e-6)
    inputs = np.random.default_rng(0).uniform(-3, 5, (60, SIDE, SIDE, 2))
    for name in ("train", "test"):
        write_arrays(tmp_path / f"{name}.npz", {"inputs": inputs, "labels": np.arange(60) % CLASSES})
    images = open_images(
        setting_of(write_benchmark(tmp_path, dataset='channels = "last"\nvalidation = 12', images=False))
    )
    np.testing.assert_array_equal(images.black, images.pool_inputs.min(axis=(0, 2, 3)))
    np.testing.assert_array_equal(images.white, images.pool_inputs.max(axis=(0, 2, 3)))
