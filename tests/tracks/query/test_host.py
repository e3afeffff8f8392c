"""The worker's side of a campaign: every form of strategy and of answer, and the sentence for each that is wrong."""

from __future__ import annotations

import json
from collections import namedtuple

import numpy as np
import pytest

from harness.methods.answers import UnusableAnswerError, checked_picks
from harness.methods.client import MethodError
from harness.methods.discovery import find_method, load_baseline
from harness.tracks.query.host import QueryHost
from tests.methods.query.support import committee, image_pool, volume_pool
from tests.methods.support import InProcess, write

SIZE = (2, 3, 3)


@pytest.fixture
def volumes(tmp_path):
    (folder := tmp_path / "volumes").mkdir()
    return volume_pool(folder, {name: committee((5, 6, 7)) for name in ("b", "a")}, budget=2)


@pytest.fixture
def images(tmp_path):
    (folder := tmp_path / "images").mkdir()
    return image_pool(folder, committee((20,)), budget=3)


def answering(answer):
    class Strategy:
        def query(self, pool, budget, rng):
            return answer

    return Strategy


def picks(strategy, meta):
    host = QueryHost(strategy, "cpu")
    host.verbs["begin"]({}, {})
    return host.verbs["query"](meta, {})["picks"]


Named = namedtuple("Named", "image corner size")


class Thing:
    def __init__(self, image, corner):
        self.image, self.corner = image, corner


@pytest.mark.parametrize(
    "answer",
    [
        [("a", (1, 2, 3)), ("b", (0, 0, 4))],
        [["a", [1, 2, 3]], ["b", np.array([0, 0, 4])]],
        (("a", (1, 2, 3), SIZE), ("b", (0, 0, 4), list(SIZE))),
        [Named("a", (1, 2, 3), SIZE), Named("b", (0, 0, 4), None)],
        [Thing("a", (1, 2, 3)), Thing("b", np.array([0, 0, 4], dtype=np.uint8))],
        iter([("a", (1, 2, 3)), ("b", (0, 0, 4))]),
    ],
)
def test_forms_of_patches(volumes, answer):
    found = picks(answering(answer), volumes)
    assert found.tolist() == [[1, 1, 2, 3], [0, 0, 0, 4]], "numbers of images are those of the offer"
    assert found.dtype == np.int64


@pytest.mark.parametrize("answer", [[3, 1, 19], (3, 1, 19), np.array([3, 1, 19], dtype=np.uint8)])
def test_forms_of_images(images, answer):
    assert picks(answering(answer), images).tolist() == [[3], [1], [19]]


def test_a_whole_image_is_a_size_where_the_patch_is_one(tmp_path):
    meta = volume_pool(tmp_path, {"a": committee((2, 2, 3))}, budget=1)
    for size in ("whole", (2, 2, 3)):
        assert picks(answering([("a", (0, 0, 0), size)]), meta).tolist() == [[0, 0, 0, 0]]
    with pytest.raises(UnusableAnswerError, match=r"has size \(2, 3, 3\), the protocol's is \(2, 2, 3\) in 'a'"):
        picks(answering([("a", (0, 0, 0), (2, 3, 3))]), meta)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "returned NoneType, not a list of patches"),
        (7, "returned int, not a list of patches"),
        ("a", "returned str, not a list of patches"),
        ({"a": (0, 0, 0)}, "returned dict, not a list of patches"),
        ([7], r"patch 0 is 7, not \(image name, corner\)"),
        (["ab"], "patch 0 is 'ab', not"),
        ([("a",)], "patch 0 is .*, not"),
        ([("a", (0, 0, 0), SIZE, 1.0)], "patch 0 is .*, not"),
        (np.zeros((2, 3)), "patch 0 is .*, not"),
        ([("a", (0, 0, 0)), ("c", (0, 0, 0))], "patch 1 lies in 'c', which is not the name of an image"),
        ([(0, (0, 0, 0))], "patch 0 lies in 0, which is not the name"),
        ([("a", (0, 0))], r"patch 0 has the corner \(0, 0\), which should be 3 whole numbers"),
        ([("a", (0.0, 0.0, 0.0))], "patch 0 has the corner .*, which should be 3 whole numbers"),
        ([("a", (True, False, True))], "should be 3 whole numbers"),
        ([("a", None)], "patch 0 has the corner None"),
        ([("a", (0, 0, 2**70))], "should be 3 whole numbers"),
        ([("a", (0, 0, 2**63))], "should be 3 whole numbers"),
        ([("a", (0, 0, 0), (2, 3, 4))], r"patch 0 has size \(2, 3, 4\), the protocol's is \(2, 3, 3\) in 'a'"),
        ([("a", (0, 0, 0), (2.0, 3.0, 3.0))], "patch 0 has size"),
        ([("a", (0, 0, 0), "whole")], "patch 0 has size 'whole'"),
        ([("a", (0, 0, 0), "large")], "patch 0 has size 'large'"),
    ],
)
def test_answers_that_are_no_patches(volumes, answer, words):
    with pytest.raises(UnusableAnswerError, match=words):
        picks(answering(answer), volumes)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "NoneType, not a tensor or array of numbers"),
        ([], r"shape \(0,\) of float64"),
        ([0.0, 1.0, 2.0], r"shape \(3,\) of float64; a query is a list of whole numbers, from 0 to 19"),
        (np.ones(20, dtype=bool), "of bool"),
        ([[1], [2], [3]], r"shape \(3, 1\)"),
        ([1, 2, 20], "outside of the pool, which are numbers 0 to 19"),
        ([1, 2, -1], "outside of the pool"),
        ([("a", (0, 0, 0))], "not a tensor or array of numbers"),
    ],
)
def test_answers_that_are_no_images(images, answer, words):
    with pytest.raises(UnusableAnswerError, match=words):
        picks(answering(answer), images)


def test_no_patches_are_an_empty_answer_of_the_right_shape(volumes):
    assert picks(answering([]), volumes).shape == (0, 4)


def test_a_class_is_made_anew_for_each_campaign(images):
    class Counting:
        asked = 0

        def query(self, pool, budget, rng):
            self.asked += 1
            return [self.asked] * budget

    host = QueryHost(Counting, "cpu")
    found = []
    for verb in ("begin", "query", "query", "begin", "query"):
        answer = host.verbs[verb](images, {})
        found += [answer["picks"][0, 0]] if verb == "query" else []
    assert found == [1, 2, 1]


def test_the_generator_comes_from_the_entropy_alone(images):
    class Drawing:
        def query(self, pool, budget, rng):
            return rng.integers(20, size=budget)

    np.random.seed(1)
    expected = np.random.default_rng([4, 5, 6]).integers(20, size=3)
    assert picks(Drawing, images | {"entropy": [4, 5, 6]})[:, 0].tolist() == expected.tolist()


# in the worker ---------------------------------------------------------------------------------------


def ask(tmp_path, body, meta, needs=""):
    lines = "\n".join(f"    {line}" for line in body.split("; "))
    source = f'import torch\nfrom harness import query_strategy\n@query_strategy(version="1"{needs})\n{lines.strip()}\n'
    client = InProcess(write(tmp_path, source), tmp_path)
    client.call("begin", {}, seed=1)
    meta = json.loads(json.dumps(meta))  # as it comes over the socket
    return checked_picks(client.call("query", {}, seed=2, meta=meta), meta["budget"])


def test_a_function_ranks_images_and_patches(tmp_path, images, volumes):
    body = "def f(probabilities):;     return 1 - probabilities.mean(dim=0).amax(dim=0)"
    assert ask(tmp_path, body, images).shape == (3, 1)
    assert ask(tmp_path, body, volumes).shape == (2, 4)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("def f(p):;     return p[0, 0] * float('nan')", "invalid", "20 of 20 scores .* are NaN or infinite"),
        ("def f(p):;     return p", "invalid", "have shape"),
        ("def f(p):;     raise RuntimeError('no idea')", "failed", "RuntimeError: no idea"),
        ("class F:;     def query(self, pool, budget, rng):;         return [1, 2]", "invalid", "asked for 2, the budget is 3"),
        ("class F:;     def query(self, pool, budget, rng):;         return list(range(9))", "invalid", "asked for 9"),
        ("class F:;     def query(self, pool, budget, rng):;         return [1, 2, 50]", "invalid", "outside of the pool"),
        ("class F:;     def query(self, pool, budget):;         return [1, 2, 3]", "failed", "TypeError"),
        (
            "class F:;     def query(self, pool, budget, rng):;         return pool.features.argmax(1)",
            "not-applicable",
            r'declare needs=\("features",\)',
        ),
        (
            "class F:;     def query(self, pool, budget, rng):;         return pool.random(99, rng)",
            "invalid",
            "20 images left, the budget is 99",
        ),
    ],
)  # fmt: skip
def test_statuses_of_what_goes_wrong(tmp_path, images, body, status, words):
    images["needs"] = []
    with pytest.raises(MethodError, match=words) as caught:
        ask(tmp_path, body, images)
    assert caught.value.status == status


def test_labels_are_those_that_were_bought(tmp_path, volumes):
    """Nothing in the offer of a strategy that is no oracle; what it asks the harness to draw from them is refused."""
    body = "class F:;     def query(self, pool, budget, rng):;         return pool.random(budget, rng, foreground=0.5)"
    with pytest.raises(MethodError, match="oracles alone") as caught:
        ask(tmp_path, body, volumes)
    assert caught.value.status == "invalid"


# answers on the other side -----------------------------------------------------------------------------


def test_picks_are_whole_numbers_as_many_as_the_budget():
    assert checked_picks({"picks": np.array([[1], [2]], dtype=np.uint8)}, 2).dtype == np.int64
    for answer, words in [
        ({}, "malformed"),
        ({"picks": np.zeros((2, 1), dtype=int), "more": np.zeros(1)}, "malformed"),
        ({"picks": np.zeros(2, dtype=int)}, "malformed"),
        ({"picks": np.zeros((2, 0), dtype=int)}, "malformed"),
        ({"picks": np.zeros((2, 1))}, "dtype float64; picks are whole numbers"),
        ({"picks": np.zeros((3, 1), dtype=int)}, "asked for 3, the budget is 2"),
        ({"picks": np.zeros((0, 1), dtype=int)}, "asked for 0, the budget is 2"),
    ]:
        with pytest.raises(MethodError, match=words) as caught:
            checked_picks(answer, 2)
        assert caught.value.status == "invalid"


def test_a_baseline_is_loaded_as_it_was_decorated():
    for name in ("foreground-random-33", "predictive-entropy"):
        spec = find_method(name).spec
        found = load_baseline(spec)
        assert found.__name__ == spec.symbol
        assert found.__harness__["version"] == spec.version
