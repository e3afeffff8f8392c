"""Queries that are read from files."""

from __future__ import annotations

import json

import pytest

from harness.methods.answers import UnusableAnswerError
from harness.methods.outputs import NotOfferedError
from harness.methods.precomputed import PrecomputedQueries
from harness.tracks.query.conformance import check_query_strategy
from harness.tracks.query.host import QueryHost
from tests.methods.support import InProcess, write

from .support import committee, image_pool, volume_pool

START = {"file": "case.a.nii.gz", "coords": [0, 0, 0], "size": [2, 3, 3]}
QUERY = {"file": "case.nii.gz", "coords": [1, 2, 3], "size": [2, 3, 3]}


def played(folder, meta):
    strategy = type("Mine", (PrecomputedQueries,), {"folder": str(folder)})
    host = QueryHost(strategy, "cpu")
    host.begin({}, {})
    return host.query(meta, {})["picks"].tolist()


def loops(tmp_path, *contents, seed=1):
    folder = tmp_path / "queries" / f"seed-{seed}"
    folder.mkdir(parents=True)
    for loop, content in enumerate(contents):
        (folder / f"loop_{loop:03d}.json").write_text(json.dumps(content))
    return folder.parent


@pytest.fixture
def volumes(tmp_path):
    """The pool shows `case.a` as `image-0000`, and `case` as `image-0001`."""
    pool = {name: committee((4, 6, 6)) for name in ("image-0000", "image-0001")}
    known = {"image-0000": [((0, 0, 0), (2, 3, 3))]}
    sources = {"image-0000": "case.a", "image-0001": "case"}
    return volume_pool(tmp_path, pool, annotated=known, sources=sources, budget=1)


@pytest.fixture
def images(tmp_path):
    """Of a data set of ten images, 3 and 5 are labelled at the start, and 0 and 9 since."""
    rows = [4, 8, 1, 7, 2, 6], [9, 5, 0, 3]
    return image_pool(tmp_path, committee((6,)), targets=[0, 1, 0, 1], rows=rows, budget=2, loop=1)


def test_patches(tmp_path, volumes):
    """Image names may hold points, and one may begin as another."""
    folder = loops(tmp_path, {"patches": [START]}, {"patches": [QUERY]})
    assert played(folder, volumes) == [[1, 1, 2, 3]]


def test_images_are_numbered_in_the_data_set(tmp_path, images):
    folder = loops(tmp_path, {"images": [5, 3]}, {"images": [9, 0]}, {"images": [8, 1]})
    assert played(folder, images) == [[1], [2]]


def test_names_have_to_be_asked_for(tmp_path, volumes, images):
    folder = loops(tmp_path, {"patches": [START]}, {"patches": [QUERY]})
    with pytest.raises(NotOfferedError, match=r'declare needs=\("names",\)'):
        played(folder, volumes | {"needs": ["members"]})
    folder = loops(tmp_path, {"images": [5, 3]}, {"images": [9, 0]}, {"images": [8, 1]}, seed=2)
    with pytest.raises(NotOfferedError, match=r'declare needs=\("names",\)'):
        played(folder, images | {"needs": [], "entropy": [0, 2, 1]})


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([], "loop_000.json cannot be read .*; it should hold loop 0"),
        ([{"patches": [START]}], "loop_001.json cannot be read .*; it should hold loop 1"),
        ([{"patches": [QUERY]}, {"patches": [START]}], "not in the start of this campaign"),
        ([{"patches": [START]}, {"images": [3]}], "its loop file is not"),
        ([{"patches": [START]}, [7]], "its loop file is not"),
        ([{"patches": [START]}, {"patches": [{**QUERY, "file": "other.nii.gz"}]}], "'other.nii.gz', which is not"),
        ([{"patches": [START]}, {"patches": [{**QUERY, "size": [2, 2, 2]}]}], "the protocol's is"),
        ([{"patches": [START]}, {"patches": [{**QUERY, "file": 7}]}], "its loop file is not"),
    ],
)
def test_unusable_files_of_patches(tmp_path, volumes, contents, words):
    with pytest.raises(UnusableAnswerError, match=words):
        played(loops(tmp_path, *contents), volumes)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([{"images": [5, 3]}, {"images": [9, 0]}, {"images": [8, 3]}], "labelled already"),
        ([{"images": [5, 3]}, {"images": [9, 0]}, {"images": [8, 10]}], "not in the data set"),
        ([{"images": [5, 3]}, {"images": [9, 0]}, {"images": [8, -1]}], "not in the data set"),
        ([{"images": [5, 3]}, {"images": [9]}, {"images": [8, 1]}], "they belong to another campaign"),
        ([{"images": [5, 3]}, {"images": [9, 99]}, {"images": [8, 1]}], "they belong to another campaign"),
        ([{"images": [5, 3]}, {"images": [9, 0]}, {"images": ["8"]}], "with whole numbers"),
    ],
)
def test_unusable_files_of_images(tmp_path, images, contents, words):
    with pytest.raises(UnusableAnswerError, match=words):
        played(loops(tmp_path, *contents), images)


def test_damaged_json(tmp_path, volumes):
    folder = loops(tmp_path, {"patches": [START]})
    (folder / "seed-1" / "loop_001.json").write_text("{")
    with pytest.raises(UnusableAnswerError, match=r"loop_001\.json"):
        played(folder, volumes)


def test_of_another_seed(tmp_path, volumes):
    with pytest.raises(UnusableAnswerError, match=r"seed-1/loop_000\.json cannot be read"):
        played(loops(tmp_path, {"patches": [START]}, seed=2), volumes)


@pytest.mark.parametrize("folder", ["", "queries"])
def test_the_folder_is_a_whole_path(folder, volumes):
    with pytest.raises(UnusableAnswerError, match="whole path"):
        played(folder, volumes)


def test_the_check_before_a_run_needs_no_files(tmp_path):
    source = (
        "from harness import query_strategy\nfrom harness.methods.precomputed import PrecomputedQueries\n"
        '@query_strategy(version="1.0", needs=("names",))\nclass Mine(PrecomputedQueries):\n    folder = "/nowhere"\n'
    )
    found = list(check_query_strategy(InProcess(write(tmp_path, source), tmp_path)))
    assert [check.problem for check in found] == [""] * 6
