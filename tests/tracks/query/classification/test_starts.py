"""Starts that are pinned, starts that are drawn, and starts that cannot be had."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.spec.errors import UsageError
from harness.tracks.query.classification.starts import drawn_images, first_images
from tests.tracks.query.classification.support import setting_of, write_benchmark

TARGETS = np.repeat([0, 1, 2], [60, 25, 3])


def setting(tmp_path, start, rule="balanced", pinned=False):
    study = f'start_rule = "{rule}"' + ('\nstarts = { path = "starts.json" }' if pinned else "")
    path = write_benchmark(tmp_path, study=study).path
    path.write_text(path.read_text().replace("start = 6", f"start = {start}"))
    return setting_of(load_protocol(path))


@pytest.mark.parametrize("seed", range(5))
def test_as_many_of_each_class(tmp_path, seed):
    rows = drawn_images(setting(tmp_path, 8).study, seed, TARGETS, 3)
    assert sorted(np.bincount(TARGETS[rows])) == [2, 3, 3]
    assert len(set(rows)) == 8
    np.testing.assert_array_equal(rows, drawn_images(setting(tmp_path, 8).study, seed, TARGETS, 3))
    assert rows.tolist() != drawn_images(setting(tmp_path, 8).study, seed + 1, TARGETS, 3).tolist()


def test_five_of_each_class_or_what_there_is(tmp_path):
    counts, chosen = np.zeros(3), setting(tmp_path, 30, "some-per-class")
    for seed in range(200):
        rows = drawn_images(chosen.study, seed, TARGETS, 3)
        assert len(set(rows)) == 30
        found = np.bincount(TARGETS[rows], minlength=3)
        assert found[2] == 3
        assert found[:2].min() >= 5
        counts += found
    rest = (counts / 200 - [5, 5, 3])[:2]  # 17 more of 55 and 20 that are left
    np.testing.assert_allclose(rest, [17 * 55 / 75, 17 * 20 / 75], atol=0.6)


def test_a_small_start_has_less_than_five_of_each(tmp_path):
    rows = drawn_images(setting(tmp_path, 7, "some-per-class").study, 1, TARGETS, 3)
    assert np.bincount(TARGETS[rows], minlength=3).min() >= 2


def test_starts_that_cannot_be_had(tmp_path):
    with pytest.raises(UsageError, match="start of 2 cannot have 3 classes"):
        drawn_images(setting(tmp_path, 2).study, 1, TARGETS, 3)
    with pytest.raises(UsageError, match="needs 4 images of class 2, the pool has 3"):
        drawn_images(setting(tmp_path, 12).study, 1, TARGETS, 3)


def test_a_pinned_start(tmp_path):
    (tmp_path / "starts.json").write_text(json.dumps({"1": [9, 4, 70], "2": [1, 2, 3]}))
    np.testing.assert_array_equal(first_images(setting(tmp_path, 3, pinned=True), 1, TARGETS, 3), [9, 4, 70])
    np.testing.assert_array_equal(first_images(setting(tmp_path, 3, pinned=True), 2, TARGETS, 3), [1, 2, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "JSON object with a list"),
        ('{"1":' * 50_000, "JSON object with a list"),
        ("[1]", "JSON object with a list"),
        ('{"2": [1, 2, 3]}', 'list of pool images for "1"'),
        ('{"1": 3}', "whole numbers from 0 to 87"),
        ('{"1": [1, 2, 88]}', "whole numbers from 0 to 87"),
        ('{"1": [1, 2, -1]}', "whole numbers from 0 to 87"),
        ('{"1": [1, 2, 3.0]}', "whole numbers from 0 to 87"),
        ('{"1": [1, 2]}', "3 different images, as study few says"),
        ('{"1": [1, 2, 2]}', "3 different images"),
    ],
)
def test_pinned_starts_that_are_none(tmp_path, content, message):
    (tmp_path / "starts.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        first_images(setting(tmp_path, 3, pinned=True), 1, TARGETS, 3)
