"""Random patches: valid always, and drawn with the chances that theory gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tracks.query import check_patches, foreground_patches, random_patches, starting_patches
from harness.tracks.query.geometry import by_image
from tests.tracks.query import references

DRAWS = 2000


def assert_chances(counts, chances):
    """Counts of DRAWS independent draws, within 5 standard deviations; what has no chance never comes."""
    assert sum(counts.values()) == DRAWS
    assert set(counts) <= {outcome for outcome, chance in chances.items() if chance > 0}
    for outcome, chance in chances.items():
        assert abs(counts[outcome] - DRAWS * chance) <= 5 * np.sqrt(DRAWS * chance * (1 - chance)), outcome


def drawn(draw):
    return Counter(draw(np.random.default_rng(seed))[0].corner for seed in range(DRAWS))


def attempt(function, *args, **options):
    """What the function returns, or the sentence with which it refuses."""
    try:
        return function(*args, **options)
    except ValueError as error:
        return str(error)


def line(*spans, length):
    """A label map (1, length) with class k + 1 in the k-th span."""
    labels = np.zeros((1, length), dtype=np.uint8)
    for k, span in enumerate(spans):
        labels[0, span[0] : span[1]] = k + 1
    return labels


class TestRandom:
    def test_every_free_corner_is_equally_likely_the_last_one_too(self):
        counts = drawn(lambda rng: random_patches({"a": (3, 6)}, (2, 4), 1, rng))
        assert_chances(counts, {(i, j): 1 / 6 for i in range(2) for j in range(3)})

    def test_only_free_corners_are_drawn(self):
        taken = {"a": [((0, 0), (1, 3)), ((0, 8), (1, 1))]}
        counts = drawn(lambda rng: random_patches({"a": (1, 14)}, (1, 3), 1, rng, taken))
        assert_chances(counts, {(0, j): 1 / 6 for j in (3, 4, 5, 9, 10, 11)})

    @given(references.scenes(), st.integers(0, 2**32), st.integers(1, 6))
    def test_patches_are_valid_until_none_fits(self, scene, seed, count):
        maps, patch, _, annotated = scene
        shapes = {image: values.shape for image, values in maps.items()}
        free = [
            image
            for image, values in maps.items()
            if references.candidates(np.zeros(values.shape), patch, (1,) * len(patch), annotated[image], 1)
        ]
        found = attempt(random_patches, shapes, patch, count, np.random.default_rng(seed), annotated)
        if isinstance(found, str):
            assert "no image has room" in found
            assert count > len(free)  # every image with room takes one
        else:
            check_patches(found, shapes, annotated, count)
            turned = dict(reversed(shapes.items()))
            assert random_patches(turned, patch, count, np.random.default_rng(seed), annotated) == found

    def test_images_take_turns(self):
        shapes = {f"image {k}": (1, 100) for k in range(5)}
        found = random_patches(shapes, (1, 2), 13, np.random.default_rng(0))
        assert sorted(Counter(patch.image for patch in found).values()) == [2, 2, 3, 3, 3]
        assert [patch.image for patch in found[:5]] == [patch.image for patch in found[5:10]]

    def test_an_image_is_filled_to_the_last_place(self):
        found = random_patches({"a": (3, 4)}, (1, 1), 12, np.random.default_rng(0))
        assert {patch.corner for patch in found} == {(i, j) for i in range(3) for j in range(4)}
        with pytest.raises(ValueError, match="no image has room for any of the 13"):
            random_patches({"a": (3, 4)}, (1, 1), 13, np.random.default_rng(0))


class TestForeground:
    @pytest.mark.parametrize("share", [0, 1 / 3, 2 / 3, 1])
    def test_the_share_is_centred_on_the_foreground(self, share):
        labels = {"a": line((40, 41), length=100)}
        counts = drawn(lambda rng: foreground_patches(labels, (1, 3), 1, rng, share))
        assert_chances(counts, {(0, j): (1 - share) / 98 + share * (j == 39) for j in range(98)})

    def test_classes_are_equally_likely_whatever_their_size(self):
        labels = {"a": line((0, 8), (9, 10), length=12)}
        counts = drawn(lambda rng: foreground_patches(labels, (1, 1), 1, rng, 1))
        assert_chances(counts, {(0, 9): 1 / 2, **{(0, j): 1 / 16 for j in range(8)}})

    def test_a_border_is_what_an_erosion_takes_away(self):
        """Half the draws on all 20 voxels of a block, half on the 18 without 4 face neighbours inside."""
        labels = np.zeros((6, 7), dtype=np.uint8)
        labels[1:4, 2:6] = 1
        inner = {(2, 3), (2, 4)}
        block = {(i, j) for i in range(1, 4) for j in range(2, 6)}
        counts = drawn(lambda rng: foreground_patches({"a": labels}, (1, 1), 1, rng, 1))
        assert_chances(counts, {v: 1 / 24 + (v not in inner) / 20 for v in block})

    def test_the_edge_of_an_image_is_a_border(self):
        counts = drawn(lambda rng: foreground_patches({"a": np.ones((3, 3), dtype=int)}, (1, 1), 1, rng, 1))
        assert_chances(counts, {(i, j): 1 / 18 + ((i, j) != (1, 1)) / 16 for i in range(3) for j in range(3)})

    @pytest.mark.parametrize(
        ("voxel", "length", "corner"), [(0, 3, 0), (5, 3, 4), (9, 3, 7), (5, 4, 3), (8, 4, 6), (8, 5, 5)]
    )
    def test_patches_are_centred_and_shifted_into_the_image(self, voxel, length, corner):
        labels = {"a": line((voxel, voxel + 1), length=10)}
        assert set(drawn(lambda rng: foreground_patches(labels, (1, length), 1, rng, 1))) == {(0, corner)}

    def test_voxels_without_room_are_not_drawn(self):
        """Class 1 lies in the annotated box, of class 2 only one voxel is far enough from it."""
        labels = {"a": line((0, 2), (3, 6), length=12), "b": line(length=12)}
        taken = {"a": [((0, 0), (1, 4))]}
        found = [foreground_patches(labels, (1, 3), 1, np.random.default_rng(k), 1, taken)[0] for k in range(50)]
        assert {(patch.image, patch.corner) for patch in found} == {("a", (0, 4))}
        with pytest.raises(ValueError, match=r"no image has room for patch 2 of 2 \((segmentation|border)\)"):
            foreground_patches(labels, (1, 3), 2, np.random.default_rng(0), 1, taken)

    def test_images_without_foreground_are_passed_by(self):
        labels = {f"image {k}": line(length=6) for k in range(3)}
        with pytest.raises(ValueError, match="no image has room for patch 1"):
            foreground_patches(labels, (1, 1), 1, np.random.default_rng(0), 1)
        assert len(foreground_patches(labels, (1, 1), 18, np.random.default_rng(0), 0)) == 18
        with pytest.raises(ValueError, match="share"):
            foreground_patches(labels, (1, 1), 1, np.random.default_rng(0), 1.5)

    @given(references.scenes(), st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0, 1 / 3, 2 / 3, 1]))
    def test_patches_are_valid(self, scene, seed, count, share):
        maps, patch, _, annotated = scene
        labels = {image: np.sign(values).astype(np.int16) for image, values in maps.items()}
        found = attempt(foreground_patches, labels, patch, count, np.random.default_rng(seed), share, annotated)
        if isinstance(found, str):
            assert "no image has room" in found
            return
        check_patches(found, {image: values.shape for image, values in labels.items()}, annotated, count)
        if share == 1:
            assert all(any(labels[p.image][v] > 0 for v in references.voxels(p.box, None)) for p in found)


class TestStart:
    @given(st.integers(0, 2**32), st.integers(8, 12), st.integers(0, 4))
    def test_every_class_has_two_images_of_its_own(self, seed, images, more):
        rng = np.random.default_rng(seed)
        labels = {
            f"image {k:02d}": rng.integers(0, 4, (3, 8, 8)) * (rng.random((3, 8, 8)) < 0.1) for k in range(images)
        }
        for name in list(labels)[5:]:
            labels[name][labels[name] == 3] = 0  # class 3 is rare
        present = {c: [name for name in labels if (labels[name] == c).any()] for c in range(4)}
        present = {c: names for c, names in present.items() if names}
        count = 2 * len(present) + more
        found = attempt(starting_patches, labels, (2, 3, 3), count, np.random.default_rng(seed))
        if isinstance(found, str):
            assert "it needs two" in found
            assert min(map(len, present.values())) < 2 * len(present)
            return
        check_patches(found, {name: array.shape for name, array in labels.items()}, count=count)
        served = found[: 2 * len(present)]
        assert len(by_image(served)) == len(served)
        while present:
            label = min(present, key=lambda c: (len(present[c]), c))
            pair, served = served[:2], served[2:]
            assert all(any(labels[p.image][v] == label for v in references.voxels(p.box, None)) for p in pair)
            used = {p.image for p in pair}
            assert used <= set(present.pop(label))
            present = {c: [name for name in names if name not in used] for c, names in present.items()}
        turned = dict(reversed(labels.items()))
        assert starting_patches(turned, (2, 3, 3), count, np.random.default_rng(seed)) == found

    def test_the_rest_has_its_share_of_foreground(self):
        """9 images, 2 classes: 4 patches for the classes, and the fifth as any other draw."""
        labels = {f"image {k}": line((40, 41), length=100) for k in range(9)}
        hits = Counter()
        for seed in range(DRAWS):
            *_, last = starting_patches(labels, (1, 1), 5, np.random.default_rng(seed))
            hits[last.corner == (0, 40)] += 1
        assert sum(hits.values()) == DRAWS
        low, high = 1 / 3, 1 / 3 + 2 / 3 * (1 / 99)  # a draw of any voxel may hit the foreground as well
        spread = 5 * np.sqrt(DRAWS * 2 / 9)
        assert DRAWS * low - spread < hits[True] < DRAWS * high + spread

    def test_a_class_to_be_ignored_is_neither_served_nor_foreground(self):
        labels = {f"image {k}": line((0, 1), (5, 10), length=20) for k in range(4)}
        for seed in range(100):
            found = starting_patches(labels, (1, 1), 6, np.random.default_rng(seed), share=0.5, ignore=2)
            served = [labels[p.image][p.corner] for p in found[:4]]
            assert served == [0, 0, 1, 1]
        with pytest.raises(ValueError, match="no image has room for patch 3 of 4"):
            starting_patches(labels, (1, 1), 8, np.random.default_rng(0), share=1, ignore=2)

    def test_says_what_is_wrong(self):
        labels = {f"image {k}": line((0, 1), length=5) for k in range(3)}
        with pytest.raises(ValueError, match="class 1 has 1 images left that serve no other class, it needs two"):
            starting_patches(labels, (1, 1), 4, np.random.default_rng(0))
        with pytest.raises(ValueError, match="2 classes with two patches each do not fit a starting budget of 3"):
            starting_patches(labels, (1, 1), 3, np.random.default_rng(0))
