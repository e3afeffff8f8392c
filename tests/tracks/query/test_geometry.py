"""Boxes against sets of voxels, and the sentences that a bad query gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tracks.query import Patch, check_patches
from harness.tracks.query.geometry import by_image, clipped, colliding, overlaps, within
from tests.tracks.query import references

SHAPES = {"a": (6, 8, 8), "b": (4, 4, 4)}


@st.composite
def two_boxes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return shape, references.box_in(shape, rng), references.box_in(shape, rng)


@given(two_boxes())
def test_overlap_is_a_shared_voxel(scene):
    shape, one, other = scene
    shared = bool(references.voxels(one, shape) & references.voxels(other, shape))
    assert overlaps([one, other], [other]).tolist() == [[shared], [True]]
    assert overlaps([one], []).shape == (1, 0)


@given(two_boxes(), st.integers(1, 3))
def test_colliding_is_every_position_that_overlaps(scene, stride):
    shape, box, (_, size) = scene
    corners = [np.arange(0, n - p + 1, stride) for n, p in zip(shape, size, strict=True)]
    found = np.zeros([len(at) for at in corners], dtype=bool)
    found[colliding(corners, size, box)] = True
    for place, hit in np.ndenumerate(found):
        corner = tuple(int(at[i]) for at, i in zip(corners, place, strict=True))
        assert hit == bool(references.voxels((corner, size), shape) & references.voxels(box, shape))


def test_whole_is_the_image():
    assert within(((0, 0, 0), "whole"), (3, 4, 5)) == ((0, 0, 0), (3, 4, 5))
    assert clipped((64, 2, 5), (3, 4, 5)) == (3, 2, 5)


@given(two_boxes())
def test_a_query_is_valid_if_its_boxes_share_no_voxel(scene):
    shape, one, other = scene
    query = [Patch("a", *one), Patch("a", *other)]
    apart = not references.voxels(one, shape) & references.voxels(other, shape)
    for patches, annotated in ((query, {}), (query[:1], by_image(query[1:]))):
        if apart:
            check_patches(patches, {"a": shape}, annotated, len(patches))
        else:
            with pytest.raises(ValueError, match=r"image 'a': the patch at .* overlap"):
                check_patches(patches, {"a": shape}, annotated)
    check_patches([Patch("a", *one), Patch("b", *other)], {"a": shape, "b": shape}, {"c": [one]}, 2)


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([Patch("c", (0, 0, 0), (1, 1, 1))] * 2, "'c', which is not an image of the pool"),
        ([Patch("a", (0, 0, 0), (1, 1, 1))], "the query has 1 patches, its budget is 2"),
        (
            [Patch("a", (4, 0, 0), (3, 1, 1))] * 2,
            r"at \(4, 0, 0\) of size \(3, 1, 1\) leaves the image of shape \(6, 8",
        ),
        ([Patch("a", (0, -1, 0), (1, 1, 1))] * 2, "leaves the image"),
        ([Patch("a", (0, 0, 0), (1, 0, 1))] * 2, "has no voxel"),
        ([Patch("a", (0, 0), (1, 1))] * 2, "3 axes"),
        ([Patch("b", (3, 3, 3), (1, 1, 1)), Patch("b", (0, 0, 0), "whole")], "of the query overlap"),
        (
            [Patch("b", (0, 0, 0), (1, 1, 1)), Patch("b", (1, 1, 1), (2, 2, 2))],
            r"overlaps the patch at \(2.*, which is annotated",
        ),
    ],
)
def test_a_bad_query_gets_one_sentence(patches, message):
    with pytest.raises(ValueError, match=message):
        check_patches(patches, SHAPES, {"b": [((2, 2, 2), (2, 2, 2))]}, 2)
