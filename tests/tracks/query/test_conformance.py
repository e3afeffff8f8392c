"""What the check says of strategies that break their contract."""

from __future__ import annotations

import pytest

from harness.tracks.query.conformance import check_query_strategy
from tests.methods.support import InProcess, write


def checks(tmp_path, source, arguments=""):
    head = "import itertools\nimport numpy as np\nfrom harness import query_strategy\ncalls = itertools.count()\n"
    path = write(tmp_path, f'{head}@query_strategy(version="1"{arguments})\n{source}')
    return list(check_query_strategy(InProcess(path, tmp_path)))


def asking(tmp_path, body, task):
    """Checks of a class whose `query` has this body."""
    source = f"class F:\n    def query(self, pool, budget, rng):\n        {body}\n"
    return checks(tmp_path, source, f', tasks=("{task}",)')


def problem(tmp_path, body, task):
    """Status and sentence of the failed check, which is the last."""
    found = asking(tmp_path, body, task)
    assert [check.passed for check in found] == [True] * (len(found) - 1) + [False]
    return found[-1].status, found[-1].problem


def test_a_function_is_checked_on_both_tasks(tmp_path):
    found = checks(tmp_path, "def f(probabilities):\n    return -probabilities.mean(dim=0).amax(dim=0)\n")
    assert [check.problem for check in found] == [""] * 6
    assert "patches" in found[0].name
    assert "images" in found[3].name


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_tasks_that_are_not_declared_are_left_out(tmp_path, task):
    source = "def f(probabilities):\n    return -probabilities.mean(dim=0).amax(dim=0)\n"
    assert len(checks(tmp_path, source, f', tasks=("{task}",)')) == 3


@pytest.mark.parametrize("need", ["features", "inputs"])
def test_what_is_declared_is_there(tmp_path, need):
    part = "labelled_" + need
    source = f"class F:\n    def query(self, pool, budget, rng):\n        pool.{need}, pool.{part}\n        return range(budget)\n"
    arguments = f', needs=("{need}",), tasks=("classification",)'
    assert [check.problem for check in checks(tmp_path, source, arguments)] == [""] * 3


def test_what_is_not_declared_fails(tmp_path):
    status, sentence = problem(tmp_path, "return pool.features[:, 0].argsort()[:budget]", "classification")
    assert status == "failed"
    assert 'declare needs=("features",)' in sentence


FULL = "[(i.name, (0, 6, y * 6)) for i in pool.images for y in (0, 1)]"


@pytest.mark.parametrize(
    ("task", "body", "words"),
    [
        ("classification", "return range(budget - 1)", "asked for 6, the budget is 7"),
        ("classification", "return [3] * budget", "6 times for an image that it had asked for already"),
        ("classification", "return np.arange(budget) + 35", "outside of the pool"),
        ("classification", "return (np.arange(budget) + next(calls)) % 40", "the second query under the same seed differs"),
        ("segmentation", f"return {FULL}", "asked for 8, the budget is 5"),
        ("segmentation", "return [(pool.images[0].name, (0, 0, 0))] * budget", "of the query overlap"),
        ("segmentation", "return [(i.name, (0, 2, 1)) for i in (*pool.images, pool.images[0])]", "overlap"),
        ("segmentation", "return [(pool.images[1].name, (0, 0, 0))] + " + FULL + "[:4]", "which is annotated"),
        ("segmentation", "return [(pool.images[0].name, (4, 6, 0))] + " + FULL + "[2:6]", "leaves the image of shape"),
        ("segmentation", "return [(pool.images[0].name, (-1, 6, 0))] + " + FULL + "[2:6]", "leaves the image of shape"),
        ("segmentation", "raise SystemExit(3)", "SystemExit: 3"),
    ],
)  # fmt: skip
def test_queries_that_break_the_contract(tmp_path, task, body, words):
    assert words in problem(tmp_path, body, task)[1]


def test_queries_that_keep_it(tmp_path):
    assert all(check.passed for check in asking(tmp_path, f"return {FULL}[:5]", "segmentation"))
    assert all(check.passed for check in asking(tmp_path, "return range(budget)", "classification"))


def test_a_pool_that_was_changed(tmp_path):
    body = "np.save(pool._files._folder / 'probabilities.npy', np.ones((3, 3, 40), dtype=np.float32)); return range(budget)"
    status, sentence = problem(tmp_path, body, "classification")
    assert status == "invalid"
    assert "changed probabilities.npy" in sentence


def test_a_score_that_is_not_finite(tmp_path):
    found = checks(tmp_path, "def f(probabilities):\n    return probabilities[0, 0] / 0\n")
    assert found[-1].status == "invalid"
    assert "720 of 720 scores of image 'image-0000' are NaN or infinite" in found[-1].problem
