"""The images of a benchmark's sets: which, in which order, and what is said where they cannot be had."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.corruptions import corrupt
from harness.spec.errors import UsageError
from harness.spec.sources import ImageSet, ImageSource
from harness.storage import write_json
from harness.tracks.confidence.images import BenchmarkImages, SetImages
from harness.tracks.confidence.model_outputs import NO_CLASS
from tests.data.sources import fetch_medmnist, write_medmnist

COUNTS = {"train": 6, "val": 40, "test": 7}
STRENGTHS = {
    "contrast": (0.1, 0.2, 0.3, 0.4, 0.9),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "fog": (0.1, 0.2, 0.3, 0.4, 0.5),
}
Scans = SimpleNamespace


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    """A data set in MedMNIST's layout beside a benchmark's file, and splits of its part val."""
    root = tmp_path_factory.mktemp("scans")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(root / "cache"))
        arrays = write_medmnist(root, COUNTS)
        fetch_medmnist(root)
        halves = np.random.default_rng(0).permutation(COUNTS["val"]).reshape(2, -1)
        write_json(
            root / "splits.json", {"validation": halves[0].tolist(), "iid": halves[1].tolist(), "beyond": [0, 40]}
        )
        made = Scans(root=root, arrays=arrays, halves=halves)
        made.images = BenchmarkImages(SimpleNamespace(path=root / "benchmark.toml"), source())  # type: ignore[arg-type]
        made.load = lambda **facts: made.images.load(image_set(**facts), root / "splits.json")
        yield made


def image_set(**facts: Any) -> ImageSet:
    return ImageSet(**{"id": "mine", "images": "source.toml", "part": "val", **facts})


def source(*sets: ImageSet) -> ImageSource:
    weights = {"id": "plain-0", "family": "plain", "seed": 0, "weights": {"path": "plain-0.safetensors"}}
    fields = {"kind": "images", "classes": 2, "models": [weights], "splits": {"path": "splits.json"}}
    return ImageSource(**fields, sets=sets or (image_set(),), corruptions=STRENGTHS)


def test_a_set_is_the_part_that_it_names(scans: Scans) -> None:
    found = scans.load(part="test")
    np.testing.assert_array_equal(found.images, scans.arrays["test_images"])
    np.testing.assert_array_equal(found.labels, scans.arrays["test_labels"][:, 0])
    assert found.names[0] == "source.toml/test/0"


def test_a_split_is_of_the_images_of_its_part(scans: Scans) -> None:
    found = scans.load(split="iid")
    np.testing.assert_array_equal(found.positions, scans.halves[1])
    np.testing.assert_array_equal(found.images, scans.arrays["val_images"][scans.halves[1]])


@given(seed=st.integers(0, 2**32), split=st.sampled_from([None, "validation", "iid"]), count=st.integers(1, 20))
@settings(max_examples=25)
def test_shuffling_changes_the_order_and_nothing_else(scans: Scans, seed: int, split: str | None, count: int) -> None:
    plain, shuffled = (scans.load(split=split, count=count, shuffle=each) for each in (None, seed))
    order = np.random.default_rng(seed).permutation(count)
    for name in ("images", "labels", "positions"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(plain, name)[order])
    assert shuffled.names == tuple(plain.names[row] for row in order)


@given(seed=st.integers(0, 2**32), severity=st.integers(1, 5), per=st.integers(1, 6))
@settings(max_examples=25)
def test_every_image_is_corrupted_as_if_alone_wherever_it_stands(
    scans: Scans, seed: int, severity: int, per: int
) -> None:
    found: SetImages = scans.load(split="iid", severity=severity, per_corruption=per, shuffle=seed)
    assert found.corruption is not None
    assert np.bincount(found.corruption).tolist() == [per] * 3
    assert len(set(found.positions.tolist())) == 3 * per
    for row, (position, number) in enumerate(zip(found.positions, found.corruption, strict=True)):
        name = sorted(STRENGTHS)[number]
        original = scans.arrays["val_images"][[position]]
        expected = corrupt(original, name, STRENGTHS[name][severity - 1], 0, np.array([position]))
        np.testing.assert_array_equal(found.images[row], expected[0])


def test_the_same_images_have_the_same_corruption_at_every_severity(scans: Scans) -> None:
    mild, harsh = (scans.load(split="iid", severity=each, per_corruption=6, shuffle=each) for each in (1, 5))
    dealt = [dict(zip(found.positions.tolist(), found.corruption.tolist(), strict=True)) for found in (mild, harsh)]
    assert dealt[0] == dealt[1]
    assert mild.positions.tolist() != harsh.positions.tolist(), "each set has an order of its own"


def test_unknown_images_have_no_class_whatever_their_data_set_says(scans: Scans) -> None:
    assert set(scans.load(part="test", unknown=True).labels.tolist()) == {NO_CLASS}


def test_too_few_images_for_the_corruptions_are_told(scans: Scans) -> None:
    with pytest.raises(UsageError, match="set mine: 20 images do not give 7 to each corruption"):
        scans.load(split="iid", severity=1, per_corruption=7)


def test_a_split_that_is_not_there_is_told(scans: Scans) -> None:
    with pytest.raises(UsageError, match="no split of set mine is called 'test'; there are: beyond, iid, validation"):
        scans.load(split="test")


def test_a_split_of_other_images_is_told(scans: Scans) -> None:
    with pytest.raises(UsageError, match="the split beyond names images beyond the 40 that there are"):
        scans.load(split="beyond")


def test_images_that_nobody_knows_need_a_part() -> None:
    with pytest.raises(ValidationError, match=r"images = 'mnist5k' is none of mnist-5k, .* name the `part` of it"):
        image_set(images="mnist5k", part=None)


def test_protocols_from_before_data_sets_keep_their_hash() -> None:
    assert image_set(images="mnist-5k", part=None).canonical().keys().isdisjoint({"part", "unknown", "shuffle"})
    assert source().canonical().keys().isdisjoint({"mean", "std"})


def test_a_source_on_own_data_cannot_enter_a_board() -> None:
    pinned = {"path": "splits.json", "sha256": "0" * 64}
    fields = source(image_set(images="pneumoniamnist")).canonical()
    fields["splits"], fields["models"][0]["weights"] = pinned, pinned
    assert ImageSource.model_validate(fields).locked
    fields["sets"][0]["images"] = "source.toml"
    assert not ImageSource.model_validate(fields).locked
