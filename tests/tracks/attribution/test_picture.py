"""The gallery of maps: what is shown is what was explained, and its colours are those of the bar."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tracks.attribution.picture import _AGAINST, _FOR, _NOTHING, _colours, _pictures


def test_colours_go_from_against_over_nothing_to_for():
    colours = _colours(np.array([[-2.0, 0.0, 2.0, 1.0]]))
    assert colours[0, :3].tolist() == [list(_AGAINST), list(_NOTHING), list(_FOR)]
    assert colours[0, 3] == pytest.approx((np.array(_NOTHING) + np.array(_FOR)) / 2, abs=1)


def test_a_map_of_nothing_is_white():
    assert (_colours(np.zeros((2, 2))) == _NOTHING[0]).all()


def test_dark_stays_dark_and_the_overlay_is_the_input_where_the_map_is_nothing():
    one, its_map = np.array([[[0.0, 1.0], [2.0, 4.0]]]), np.array([[0.0, 0.0], [0.0, -3.0]])
    grey, coloured, both = _pictures(one, its_map)
    assert grey.tolist() == [[0, 63], [127, 255]]
    assert both[0, 1].tolist() == [63, 63, 63]
    assert both[1, 1].tolist() == coloured[1, 1].tolist() == list(_AGAINST)


def test_volumes_are_summed_along_their_depth():
    volume = np.zeros((1, 3, 2, 2))
    volume[0, :, 1, 0] = 1.0
    grey, coloured, _ = _pictures(volume, volume[0])
    assert grey.tolist() == [[0, 0], [255, 0]]
    assert coloured[1, 0].tolist() == list(_FOR)


def test_the_strongest_point_of_a_pixel_is_seen():
    points = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 5.0, 0.0]])
    grey, coloured, _ = _pictures(points, np.array([0.5, -1.0, 0.25]))
    assert (grey > 0).sum() == 2
    assert coloured[-1, 0].tolist() == list(_AGAINST)


def test_colour_images_keep_their_colours():
    one = np.zeros((3, 1, 2))
    one[0, 0, 1] = 1.0
    grey, _, _ = _pictures(one, np.zeros((1, 2)))
    assert grey.tolist() == [[[0, 0, 0], [255, 0, 0]]]
