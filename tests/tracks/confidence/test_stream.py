"""A network's samples as one stream: every sample is asked about, and nothing but the sample is worth anything."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.methods.client import MethodError
from harness.methods.conformance import LARGEST_BATCH
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.confidence.stream import ask_as_stream, shuffled_batches

TOLERANCE = 1e-4


def outputs(count, classes=4, seed=0, precision=np.float32, members=0):
    rng = np.random.default_rng([seed, count])
    arrays = {"logits": rng.normal(size=(count, classes)).astype(precision)}
    if members:
        arrays["mc_logits"] = rng.normal(size=(members, count, classes)).astype(precision)
    return ModelOutputs(arrays, np.arange(count) % classes)


def by_sample(arrays):
    """A confidence of each sample by itself, from every array."""
    confidence = arrays["logits"].max(axis=1).astype(np.float64)
    return confidence + arrays["mc_logits"].std(axis=(0, 2)) if "mc_logits" in arrays else confidence


@given(count=st.integers(1, 20_000), seed=st.integers(0, 2**63))
def test_every_sample_comes_and_some_come_twice(count, seed):
    batches = list(shuffled_batches(count, np.random.default_rng(seed)))
    times = np.bincount(np.concatenate(batches), minlength=count)
    assert times.min() >= 1
    assert times.max() <= 2
    assert (times == 2).sum() == min(count, max(32, round(0.02 * count)))
    assert len(batches[-1]) == 1
    assert max(map(len, batches)) <= min(LARGEST_BATCH, max(1, sum(map(len, batches)) // 2))


@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    members=st.integers(0, 2),
    doubles=st.integers(0, 3),
    seed=st.integers(0, 2**63),
)
def test_each_set_gets_its_own_answers_in_its_own_order(counts, members, doubles, seed):
    sets = {
        f"set-{place}": outputs(
            count, seed=place, members=members, precision=np.float64 if place < doubles else np.float32
        )
        for place, count in enumerate(counts)
    }
    asked = []

    def ask(arrays):
        asked.append(arrays["logits"].dtype)
        return by_sample(arrays)

    answers = ask_as_stream(sets, ask, seed, TOLERANCE)
    assert list(answers) == list(sets)
    for name, samples in sets.items():
        np.testing.assert_allclose(answers[name], by_sample(samples.arrays), rtol=1e-6, atol=1e-6)
    assert set(asked) == {samples.arrays["logits"].dtype for samples in sets.values()}, "no precision was changed"


def test_order_follows_from_the_seed():
    def asked(seed):
        seen = []
        ask_as_stream({"a": outputs(500)}, lambda each: seen.append(each["logits"]) or by_sample(each), seed, TOLERANCE)
        return np.concatenate(seen)

    assert np.array_equal(asked(3), asked(3))
    assert not np.array_equal(asked(3), asked(4))


class Counting:
    def __init__(self):
        self.calls = 0

    def __call__(self, arrays):
        self.calls += 1
        return by_sample(arrays) + 0.1 * self.calls


RESTS = "its confidence for one and the same sample rests {}; each sample must be scored by itself"


@pytest.mark.parametrize(
    ("ask", "on"),
    [
        (Counting(), "on what it was asked before, or on numbers that it draws"),
        (
            lambda each: by_sample(each) + np.random.default_rng().normal(size=len(each["logits"])),
            "numbers that it draws",
        ),
        (lambda each: by_sample(each) + np.arange(len(each["logits"])) % 8, "on the order of the samples"),
        (lambda each: by_sample(each) - by_sample(each).mean(), "on the other samples of its batch"),
        (lambda each: by_sample(each) + len(each["logits"]), "or on how many they are"),
        (lambda each: np.append(by_sample(each)[:-1], 1e30) - each["logits"].mean(), "on "),
    ],
)
def test_an_answer_that_rests_on_more_than_its_sample_is_invalid(ask, on):
    with pytest.raises(MethodError, match="each sample must be scored by itself") as caught:
        ask_as_stream({"a": outputs(3000), "b": outputs(2000, seed=1)}, ask, 0, TOLERANCE)
    assert caught.value.status == "invalid"
    assert on in caught.value.reason


@pytest.mark.parametrize("precision", [np.float16, np.float32])
def test_rounding_that_depends_on_the_batch_is_no_dependence(precision):
    def ask(each):
        noise = np.random.default_rng(len(each["logits"])).normal(size=len(each["logits"]))
        return by_sample(each).astype(precision) * (1 + np.finfo(np.float32).eps * noise).astype(precision)

    ask_as_stream({"a": outputs(3000)}, ask, 0, TOLERANCE)


def test_answers_that_are_not_finite_are_left_to_the_study_that_asks():
    def ask(each):
        return np.where(each["logits"][:, 0] > 0, by_sample(each), np.nan)

    answers = ask_as_stream({"a": outputs(200)}, ask, 0, TOLERANCE)
    assert np.array_equal(np.isnan(answers["a"]), outputs(200).arrays["logits"][:, 0] <= 0)


class Remembering:
    """Answers a sample the second time as it did the first, so that asking twice finds nothing."""

    def __init__(self, score):
        self.score, self.said = score, {}

    def __call__(self, arrays):
        keys = [hashlib.sha256(row.tobytes()).digest() for row in arrays["logits"]]
        for key, value in zip(keys, self.score(arrays), strict=True):
            self.said.setdefault(key, value)
        return np.array([self.said[key] for key in keys])


def test_who_remembers_its_answers_learns_neither_class_nor_set_from_order_and_batches():
    """Rows sorted so that row i has class i mod 4 and every set by itself: what position and batch tell is chance."""
    sets = {"known": outputs(4000), "unknown": outputs(3000, seed=1)}
    by_place = Remembering(lambda each: (np.arange(len(each["logits"])) % 4).astype(float))
    answers = ask_as_stream(sets, by_place, 0, TOLERANCE)
    predicted = sets["known"].arrays["logits"].argmax(axis=1)
    # In a file's order the class is the place, and agreement with the prediction is correctness.
    right = predicted == sets["known"].labels
    assert abs(roc_auc_score(right, answers["known"] == predicted) - 0.5) < 0.03

    whole_batches = Remembering(lambda each: np.full(len(each["logits"]), float(len(each["logits"]))))
    answers = ask_as_stream(sets, whole_batches, 0, TOLERANCE)
    truth = np.repeat([1, 0], [4000, 3000])
    assert abs(roc_auc_score(truth, np.concatenate([answers["known"], answers["unknown"]])) - 0.5) < 0.03
