"""The picture of a metric's order of methods holds the ranks that were judged."""

from __future__ import annotations

import numpy as np

from harness.tracks.attribution_metric.picture import draw_agreement

NAMES = ("saliency", "lime", "lrp")


def test_every_network_and_method_is_there():
    svg = draw_agreement(
        [
            ("image · cnn", 1.0, NAMES, np.array([1.0, 2.0, 3.0]), np.array([1.2, 1.8, 2.9])),
            ("image · vit", -1.0, NAMES[:2], np.array([2.0, 1.0]), np.array([1.0, 2.0])),
            ("volume · cnn3d", 0.333, NAMES, np.array([1.0, 3.0, 2.0]), np.array([1.2, 1.8, 2.9])),
        ]
    )
    for text in ("image · cnn: tau 1.00", "image · vit: tau -1.00", "volume · cnn3d: tau 0.33"):
        assert text in svg
    assert [svg.count(name) for name in NAMES] == [3, 3, 2]


def test_the_same_ranks_are_the_same_bytes():
    panel = ("image · cnn", 1.0, NAMES, np.array([1.0, 2.0, 3.0]), np.array([1.2, 1.8, 2.9]))
    assert draw_agreement([panel]) == draw_agreement([panel])


def test_without_networks_there_is_no_picture():
    assert draw_agreement([]) == ""
