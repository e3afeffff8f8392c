"""Meshes and clouds: what is sampled, and that it is always the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.manifests import find_dataset
from harness.data.readers.opening import open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.readers.support import opened, write

READER = {"kind": "shapes", "pattern": r"m/(?P<label>[^/]+)/(?P<split>train|test)/[^/]+\.(off|ply|txt)", "points": 4000}

# Two squares that share no edge: one of area 9 at z = 0, one of area 1 at z = 5. The first is cut into four triangles
# of different sizes, so that drawing faces instead of areas would show.
TWO_SQUARES = """OFF
9 6 0
0 0 0
3 0 0
3 3 0
0 3 0
1 1 0
10 0 5
11 0 5
11 1 5
10 1 5
3 0 1 4
3 1 2 4
3 2 3 4
3 3 0 4
3 5 6 7
3 5 7 8
"""


def cloud(folder: Path, text: str = TWO_SQUARES, name: str = "m/a/test/x.off", **changes: Any) -> np.ndarray:
    write(folder / name, text)
    return opened(folder, {**READER, **changes}).read([0])[0]


def test_points_are_uniform_on_the_surface(tmp_path: Path) -> None:
    points = cloud(tmp_path)
    assert points.shape == (4000, 3)
    assert points.dtype == np.float32
    small = points[:, 2] == 5
    assert abs(small.mean() - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5  # area 1 of 10
    large = points[~small]
    assert (large[:, 2] == 0).all()
    assert large[:, :2].min() >= 0
    assert large[:, :2].max() <= 3
    # Nine cells of area 1 in the large square are hit equally often: chi-squared with 8 degrees of freedom.
    counts = np.histogram2d(large[:, 0], large[:, 1], bins=3, range=[[0, 3], [0, 3]])[0]
    expected = len(large) / 9
    assert ((counts - expected) ** 2 / expected).sum() < 26.1  # the 0.1 % quantile


def test_points_depend_on_seed_and_name_alone(tmp_path: Path) -> None:
    for name in ("m/a/test/x.off", "m/a/test/y.off", "m/b/train/x.off"):
        write(tmp_path / name, TWO_SQUARES)
    x, y, other = opened(tmp_path, READER).read([0, 1, 2])
    np.testing.assert_array_equal(opened(tmp_path, READER).read([2, 0])[1], x)
    part = opened(tmp_path, READER, {"t": {"split": "train"}}, "t")
    np.testing.assert_array_equal(part.read([0])[0], other)
    assert (x != y).any()
    assert (opened(tmp_path, {**READER, "seed": 1}).read([0])[0] != x).any()


def test_headers_as_modelnet40_writes_some(tmp_path: Path) -> None:
    """A few of its files have the counts in the first line."""
    glued = TWO_SQUARES.replace("OFF\n9 6 0", "OFF9 6 0")
    np.testing.assert_array_equal(cloud(tmp_path, glued), cloud(tmp_path))


def test_ply_meshes(tmp_path: Path) -> None:
    lines = TWO_SQUARES.splitlines()
    header = ["ply", "format ascii 1.0", "element vertex 9", *(f"property float {axis}" for axis in "xyz")]
    header += ["element face 6", "property list uchar int vertex_indices", "end_header"]
    text = "\n".join([*header, *lines[2:]]) + "\n"
    points = cloud(tmp_path, text, "m/a/test/x.ply")
    assert set(np.unique(points[:, 2])) == {0.0, 5.0}


def test_vertices_are_drawn_without_replacement(tmp_path: Path) -> None:
    points = cloud(tmp_path, points=9, sampling="vertices")
    assert len(np.unique(points, axis=0)) == 9
    assert cloud(tmp_path, points=20, sampling="vertices").shape == (20, 3)


def test_first_points_of_a_text(tmp_path: Path) -> None:
    rows = "".join(f"{n} {n + 0.5} {-n} 0 0 1 7\n" for n in range(5))
    points = cloud(tmp_path, rows, "m/a/test/x.txt", sampling="first", points=2)
    assert points.tolist() == [[0, 0.5, 0], [1, 1.5, -1]]
    with pytest.raises(IntegrityError, match=r"has 5 points, 6 are needed"):
        cloud(tmp_path, rows, "m/a/test/x.txt", sampling="first", points=6)


def test_normalised_shapes_are_centred_and_within_one(tmp_path: Path) -> None:
    points = cloud(tmp_path, points=9, sampling="vertices", normalise=True)
    assert np.abs(points.mean(axis=0)).max() < 1e-6
    assert np.abs(points).max() == pytest.approx(0.999999, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no readable shape"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n", "no readable shape"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "no readable shape"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "no surface"),
        ("OFF\n3 1 0\nnan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "not finite"),
        ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "no faces|no readable shape"),
    ],
)
def test_broken_meshes_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(IntegrityError, match=sentence):
        cloud(tmp_path, text)


def test_a_huge_mesh_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.readers.shapes.MAX_BYTES", 50)
    with pytest.raises(IntegrityError, match=r"larger than the 50 bytes"):
        cloud(tmp_path)


def test_trimesh_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(UsageError, match=r"pip install trimesh"):
        cloud(tmp_path)


def test_no_shapes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file that fits"):
        opened(tmp_path, READER)


def test_coma_is_split_within_each_expression(tmp_path: Path) -> None:
    """As PyTorch Geometric: of the j-th mesh of a subject and expression, j % 100 < 90 trains."""
    expected = []
    for subject in ("FaceTalk_2", "FaceTalk_1"):
        for expression, count in (("mouth_up", 130), ("bareteeth", 95)):
            for number in range(count):
                write(tmp_path / f"coma/{subject}/{expression}/{expression}.{number:06}.ply", b"")
    for subject in ("FaceTalk_1", "FaceTalk_2"):
        for expression, count in (("bareteeth", 95), ("mouth_up", 130)):
            expected += [f"coma/{subject}/{expression}/{expression}.{n:06}.ply" for n in range(count) if n % 100 >= 90]
    samples = open_part(find_dataset("coma"), "test", tmp_path)
    assert list(samples.ids) == expected
    assert set(samples.labels.tolist()) == {0, 11}


def test_shapenet_tests_on_its_official_list(tmp_path: Path) -> None:
    root = tmp_path / "shapenetcore_partanno_segmentation_benchmark_v0_normal"
    for name in ("02691156/a", "02691156/b", "03001627/c"):
        write(root / f"{name}.txt", "".join(f"{n} 0 0 0 0 1 2\n" for n in range(2000)))
    names = ["shape_data/03001627/c", "shape_data/02691156/a"]
    write(root / "train_test_split/shuffled_test_file_list.json", json.dumps(names))
    samples = open_part(find_dataset("shapenet"), "test", tmp_path)
    assert [name.split("/", 1)[1] for name in samples.ids] == ["03001627/c.txt", "02691156/a.txt"]
    assert samples.labels.tolist() == [1, 0]
    assert samples.read([0])[0].shape == (1024, 3)
