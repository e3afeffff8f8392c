"""What holds for every reference strategy: its declaration, the check that users run, budgets and seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.methods.discovery import baseline_names, find_method, load_baseline
from harness.tracks.query.conformance import check_query_strategy
from harness.tracks.query.geometry import Patch, check_patches
from tests.methods.support import InProcess

from .support import asked, committee, image_pool, volume_pool

NAMES = baseline_names("query")
SPECS = {name: find_method(name).spec for name in NAMES}
ON_VOLUMES = [name for name in NAMES if "segmentation" in SPECS[name].tasks]
ON_IMAGES = [name for name in NAMES if "classification" in SPECS[name].tasks]


def volumes(tmp_path, budget, oracle, order=1):
    names = [f"case {k}" for k in range(3)][::order]
    pool = {name: committee((6, 9, 8), seed=len(name) + int(name[-1])) for name in names}
    features = {name: np.random.default_rng(int(name[-1])).normal(size=(4, 2, 3, 2)) for name in names}
    labels = {name: np.random.default_rng(int(name[-1])).integers(3, size=(6, 9, 8)).astype(np.int16) for name in names}
    known = {"case 1": [((0, 0, 0), (2, 3, 3))]}
    return volume_pool(
        tmp_path, pool, annotated=known, features=features, labels=labels, max_per_image=6, budget=budget, oracle=oracle
    )


def images(tmp_path, budget):
    rng = np.random.default_rng(0)
    return image_pool(
        tmp_path,
        committee((50,)),
        features=rng.normal(size=(50, 6)),
        labelled_features=rng.normal(size=(9, 6)),
        targets=np.arange(9) % 3,
        budget=budget,
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_check_that_users_run_is_passed(tmp_path, name):
    found = list(check_query_strategy(InProcess(name, tmp_path)))
    assert [check.problem for check in found] == [""] * 3 * len(SPECS[name].tasks)


def test_the_example_is_predictive_entropy(tmp_path):
    client = InProcess(Path(__file__).parents[3] / "examples" / "predictive_entropy.py", tmp_path)
    assert [check.problem for check in check_query_strategy(client)] == [""] * 6
    meta = images(tmp_path, 7)
    picks = client.call("query", {}, seed=0, meta=meta)["picks"]
    assert picks[:, 0].tolist() == asked("predictive-entropy", meta)


@pytest.mark.parametrize("name", NAMES)
def test_declarations_are_complete(name):
    spec = SPECS[name]
    assert spec.summary.endswith(".")
    assert len(spec.summary) < 120
    assert spec.citation
    assert load_baseline(spec).__harness__["version"] == spec.version
    assert spec.oracle == spec.reference == name.startswith("foreground-random")


@pytest.mark.parametrize("name", ON_VOLUMES)
def test_queries_of_patches(tmp_path, name):
    """Budgets are exact; the same seed gives the same patches, in whatever order the images are listed."""
    shapes, known = {f"case {k}": (6, 9, 8) for k in range(3)}, {"case 1": [((0, 0, 0), (2, 3, 3))]}
    for budget in (1, 5, 12):
        meta = volumes(tmp_path, budget, SPECS[name].oracle)
        found = asked(name, meta)
        patches = [Patch(case, corner, (2, 3, 3)) for case, corner in found]
        check_patches(patches, shapes, known, count=budget)
        assert asked(name, meta) == found
        assert asked(name, volumes(tmp_path, budget, SPECS[name].oracle, order=-1)) == found


@pytest.mark.parametrize("name", ON_IMAGES)
def test_queries_of_images(tmp_path, name):
    for budget in (1, 7, 50):
        meta = images(tmp_path, budget)
        found = asked(name, meta)
        assert len(set(found)) == len(found) == budget
        assert set(found) <= set(range(50))
        assert asked(name, meta) == found


@pytest.mark.parametrize("name", ["power-bald", "softrank-bald", "random-sampling", "badge"])
def test_other_seeds_give_other_queries(tmp_path, name):
    meta = images(tmp_path, 7)
    assert len({tuple(asked(name, meta, entropy=[0, seed, 0])) for seed in range(5)}) > 1


@pytest.mark.parametrize("share", ["33", "66"])
def test_foreground_random_lies_on_foreground_as_often_as_it_says(tmp_path, share):
    """A class of one voxel in a large image: a patch holds it if it is centred on it, and else in 1 of 100."""
    labels = np.zeros((4, 60, 60), dtype=np.int16)
    labels[2, 30, 30] = 1
    pool = {f"case {k:02}": np.ones((1, 2, 4, 60, 60), dtype=np.float32) / 2 for k in range(60)}
    meta = volume_pool(
        tmp_path, pool, labels=dict.fromkeys(pool, labels), patch=(3, 5, 5), budget=50, oracle=True, max_per_image=9
    )
    hits = [all(c <= v < c + p for c, v, p in zip(corner, (2, 30, 30), (3, 5, 5), strict=True))
            for k in range(4) for _, corner in asked(f"foreground-random-{share}", meta, entropy=[0, 1, k])]  # fmt: skip
    expected = {"33": 1 / 3, "66": 2 / 3}[share]
    assert np.mean(hits) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(hits)))
