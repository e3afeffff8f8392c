"""Loop files: nnActive's format out and in, and files of strangers."""

from __future__ import annotations

import json

import pytest

from harness.storage import IntegrityError
from harness.tracks.query import Patch, read_loop, read_loops, write_loop
from harness.tracks.query.loop_files import read_images, write_images

START = [Patch("case_1", (0, 4, 2), (4, 40, 40)), Patch("case.2", (0, 0, 0), "whole")]


def test_the_format_is_that_of_nnactive(tmp_path):
    path = write_loop(tmp_path, 7, START)
    assert path.name == "loop_007.json"
    assert json.loads(path.read_text()) == {
        "patches": [
            {"file": "case_1.nii.gz", "coords": [0, 4, 2], "size": [4, 40, 40]},
            {"file": "case.2.nii.gz", "coords": [0, 0, 0], "size": "whole"},
        ]
    }
    assert read_loop(path) == START


def test_loops_come_back_in_order(tmp_path):
    loops = [[Patch("a", (k, 0), (1, 1))] for k in range(12)]
    for k, patches in reversed(list(enumerate(loops))):
        write_loop(tmp_path, k, patches, ".png")
    (tmp_path / "loop_notes.json").write_text("not a loop")
    assert read_loops(tmp_path, ".png") == loops
    (tmp_path / "loop_003.json").unlink()
    with pytest.raises(IntegrityError, match="has loop 11 but no loop 3"):
        read_loops(tmp_path, ".png")


def test_a_loop_far_behind_the_others(tmp_path):
    """Found without counting up to it."""
    write_loop(tmp_path, 0, START)
    write_loop(tmp_path, 999_999_999, START)
    with pytest.raises(IntegrityError, match="has loop 999999999 but no loop 1"):
        read_loops(tmp_path)


def test_a_loop_that_is_there_twice(tmp_path):
    write_loop(tmp_path, 0, START)
    (tmp_path / "loop_0000.json").write_bytes((tmp_path / "loop_000.json").read_bytes())
    with pytest.raises(IntegrityError, match=r"has loop 0 twice, in loop_000\.json and loop_0000\.json"):
        read_loops(tmp_path)


def test_a_folder_without_loops_has_none(tmp_path):
    assert read_loops(tmp_path) == []
    with pytest.raises(ValueError, match="count from 0"):
        write_loop(tmp_path, -1, START)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no loop file"),
        ({"patches": {}}, "no loop file"),
        ({"patches": [1]}, 'patch 0 needs "file"'),
        ({"patches": [{"file": "a.nii.gz", "coords": [0]}]}, 'patch 0 needs "file"'),
        ({"patches": [{"file": "a.png", "coords": [0], "size": [1]}]}, "ends with '.nii.gz'"),
        ({"patches": [{"file": ".nii.gz", "coords": [0], "size": [1]}]}, "ends with '.nii.gz'"),
        ({"patches": [{"file": 3, "coords": [0], "size": [1]}]}, "ends with '.nii.gz'"),
        ({"patches": [{"file": "a.nii.gz", "coords": [-1], "size": [1]}]}, "coords"),
        ({"patches": [{"file": "a.nii.gz", "coords": [0.0], "size": [1]}]}, "coords"),
        ({"patches": [{"file": "a.nii.gz", "coords": [], "size": []}]}, "coords"),
        ({"patches": [{"file": "a.nii.gz", "coords": [True], "size": [1]}]}, "coords"),
        ({"patches": [{"file": "a.nii.gz", "coords": [0], "size": [0]}]}, "size"),
        ({"patches": [{"file": "a.nii.gz", "coords": [0], "size": [1, 1]}]}, "size"),
        ({"patches": [{"file": "a.nii.gz", "coords": [0], "size": "half"}]}, "size"),
    ],
)
def test_a_file_in_another_format_gets_one_sentence(tmp_path, content, message):
    path = tmp_path / "loop_000.json"
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=message):
        read_loop(path)


def test_rows_of_images_come_back_in_their_order(tmp_path):
    for loop, rows in enumerate(([17, 3], [0], [])):
        assert write_images(tmp_path, loop, rows).name == f"loop_{loop:03d}.json"
    assert json.loads((tmp_path / "loop_000.json").read_text()) == {"images": [17, 3]}
    assert read_images(tmp_path) == [[17, 3], [0], []]
    (tmp_path / "loop_001.json").unlink()
    with pytest.raises(IntegrityError, match="has loop 2 but no loop 1"):
        read_images(tmp_path)


@pytest.mark.parametrize("content", [{}, [], {"patches": []}, {"images": 3}, {"images": [-1]}, {"images": [True]}])
def test_what_is_no_loop_file_of_images(tmp_path, content):
    (tmp_path / "loop_000.json").write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match='it has no list of rows, "images"'):
        read_images(tmp_path)
