"""The conformance suite: what keeps the contract passes, and each way to break it has its sentence."""

import re

import numpy as np
import pytest
from scipy.stats import rankdata

from harness.execution.evaluate import check_method as checks_in_worker
from harness.execution.method_process import Limits
from harness.methods.answers import checked_confidence, stored_confidence
from harness.methods.client import MethodError
from harness.methods.conformance import SAMPLES, check_confidence_score
from harness.methods.discovery import baseline_names, find_method
from harness.spec.errors import UsageError
from harness.testing import check_method

from .decorated import decorated_here
from .support import InProcess, write


def checks(tmp_path, source, arguments=""):
    path = write(tmp_path, f'@confidence_score(version="1.0"{arguments})\n{source}')
    return list(check_confidence_score(InProcess(path, tmp_path)))


def problem(tmp_path, body, arguments=""):
    """The sentence of the one failed check of a function with this body."""
    found = checks(tmp_path, f"def f(outputs):\n    {body}\n", arguments)
    assert [check.passed for check in found] == [True] * (len(found) - 1) + [False], "the failed check is the last"
    return found[-1].problem


# what passes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in baseline_names("confidence") if name != "oracle"])
def test_every_baseline_conforms(tmp_path, name):
    found = list(check_confidence_score(InProcess(name, tmp_path)))
    assert [check.problem for check in found] == [""] * 6


def test_the_oracle_is_never_run():
    assert checks_in_worker(find_method("oracle"), Limits()) == ()


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("return outputs.probabilities.amax(dim=1).float()", ""),
        ("return outputs.probabilities.amax(dim=1).numpy()", ""),
        ("return outputs.probabilities.amax(dim=1).tolist()", ""),
        ("return outputs.logits.half().amax(dim=1)", ""),
        ("return outputs.logits.bfloat16().amax(dim=1)", ""),
        ("return outputs.inputs.mean(dim=(1, 2, 3))", ', needs=("inputs",)'),
        ("return outputs.model(outputs.inputs).amax(dim=1)", ', needs=("inputs", "model")'),
        ("return outputs.head_confidence", ', head="anything"'),
        ("return -outputs.probabilities.min(dim=1).values if 'features' in outputs else None", ""),
    ],
)
def test_good_answers_pass(tmp_path, body, arguments):
    found = checks(tmp_path, f"def f(outputs):\n    {body}\n", arguments)
    assert [check.problem for check in found] == [""] * 6


def test_a_seeded_draw_while_fitting_passes(tmp_path):
    source = """
class Projection:
    def fit(self, reference):
        import torch
        self.direction = torch.randn(reference.train.features.shape[1], dtype=torch.float64)
    def score(self, outputs):
        return outputs.features @ self.direction
"""
    assert all(check.passed for check in checks(tmp_path, source))


# what fails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return outputs.logits", r"it returned shape \(16, 4\), expected \(16,\)"),
        ("return outputs.logits.mean()", r"it returned shape \(\), expected \(16,\)"),
        ("return outputs.probabilities.argmax(dim=1)", "it returned dtype int64; confidences are floating-point"),
        ("return outputs.logits.amax(dim=1) > 0", "it returned dtype bool; confidences are floating-point"),
        ("return outputs.logits.amin(dim=1).log()", r"\d+ of 16 confidences are NaN or infinite"),
        ("return outputs.logits[:, 0] * 0", "it gave the same confidence to all 16 samples"),
        ("return None", "returned NoneType, not a tensor or array of numbers"),
        ("return outputs.labels", "AttributeError: outputs have no labels; a method learns from reference.train"),
        ("raise ValueError('no idea')", r"ValueError: no idea \(line 4\)"),
        ("raise SystemExit", "SystemExit"),
        ("return outputs.inputs", r'does not offer inputs; a method that needs them declares needs=\("inputs",\)'),
        ("return outputs.model", r'the model is not offered; declare needs=\("model",\)'),
        ("return outputs.gradients", "AttributeError: 'Outputs' object has no attribute 'gradients'"),
    ],
)
def test_answers_that_cannot_be_ranked(tmp_path, body, sentence):
    assert re.search(sentence, problem(tmp_path, body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import os; return outputs.logits[:, 0] * 0 + sum(os.urandom(8)) + outputs.logits[:, 1]", "same seed"),
        ("import torch; return torch.rand(len(outputs))", "in two batches instead of one"),
        ("c = outputs.logits.amax(dim=1); return (c - c.mean()) / c.std()", "in two batches instead of one"),
        ("c = outputs.logits.amax(dim=1); return c.argsort().argsort().double()", "in two batches instead of one"),
        (
            "import torch; return outputs.logits.amax(dim=1) + (torch.arange(len(outputs)) % 8).double()",
            "in another order",
        ),
        (
            "c = outputs.logits.amax(dim=1); return c if len(c) > 1 else c + 1",
            "the answer for a sample alone",
        ),
        (
            "c = outputs.logits.amax(dim=1); return c if len(c) < 50 else c - c.mean()",
            "the answer for a sample among 4,096",
        ),
    ],
)
def test_a_sample_must_be_scored_by_itself(tmp_path, body, expected):
    text = problem(tmp_path, body)
    assert expected in text
    assert re.search(
        r"differs for \d+ of 16 samples; (each sample must be scored by itself|take randomness from torch)", text
    )


def test_what_is_carried_from_call_to_call_is_noticed(tmp_path):
    text = problem(tmp_path, "f.calls = getattr(f, 'calls', 0) + 1; return outputs.logits.amax(dim=1) * f.calls")
    assert "the second answer under the same seed" in text


def test_an_undeclared_need_fails_although_the_data_may_lack_it(tmp_path):
    """Else a forgotten `needs` would make every unit *not applicable*, and the run complete."""
    found = checks(tmp_path, "def f(outputs):\n    return outputs.inputs.mean(dim=(1, 2, 3))\n")
    assert found[-1].status == "failed"


def test_labels_are_neither_among_the_arrays_nor_among_the_names(tmp_path):
    source = """
def f(outputs):
    assert "labels" not in outputs and not hasattr(outputs, "labels")
    assert not any("label" in name for name in outputs._arrays)
    return outputs.probabilities.amax(dim=1)
"""
    assert all(check.passed for check in checks(tmp_path, source))


def test_statuses_say_whether_the_method_crashed_or_answered_badly(tmp_path):
    assert checks(tmp_path, "def f(outputs): raise ValueError\n")[-1].status == "failed"
    assert checks(tmp_path, "def f(outputs): return outputs.logits\n")[-1].status == "invalid"
    assert {check.status for check in checks(tmp_path, "def f(outputs): return outputs.logits[:, 0]\n")} == {"ok"}


@pytest.mark.parametrize("answer", [{}, {"confidence": np.ones(2), "more": np.ones(2)}, {"score": np.ones(2)}])
def test_an_answer_is_one_named_array(answer):
    with pytest.raises(MethodError, match="malformed"):
        checked_confidence(answer, 2)


def test_a_single_sample_may_have_any_confidence():
    np.testing.assert_array_equal(checked_confidence({"confidence": np.zeros(1)}, 1), [0.0])


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
def test_confidences_are_checked_as_they_came(given):
    answer = np.array([0.1, 0.2, 0.3], dtype=given)
    found = checked_confidence({"confidence": answer}, 3)
    np.testing.assert_array_equal(found, answer)
    assert found.dtype == (np.float64 if given == np.float64 else np.float32)


def test_confidences_beyond_double_precision_are_refused():
    with pytest.raises(MethodError, match=r"some confidences are too large for float64 \(beyond 1.8e\+308\)"):
        checked_confidence({"confidence": np.array([1.0, np.longdouble(10) ** 400])}, 2)


@pytest.mark.parametrize(
    ("confidence", "dtype"),
    [
        ([0.1, 0.2, 0.1], np.float32),  # rounded, and still two values in their order
        ([1.0, 1 - 1e-12], np.float64),
        ([0.0, 1e-60], np.float64),
        ([1e300, 2e300], np.float64),
        ([1e300], np.float64),
        ([0.0, -0.0, 1.0], np.float32),
        ([7.0], np.float32),
    ],
)
def test_single_precision_is_stored_where_it_keeps_every_order_and_tie(confidence, dtype):
    given = np.array(confidence)
    stored = stored_confidence(given)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(rankdata(stored), rankdata(given))
    if dtype == np.float64:
        np.testing.assert_array_equal(stored, given)


def test_what_is_stored_orders_as_what_was_said_whatever_it_is():
    rng = np.random.default_rng(0)
    for scale in (1e-9, 1e-7, 1e-5, 1.0):
        given = 1 - scale * rng.uniform(size=3000)
        np.testing.assert_array_equal(rankdata(stored_confidence(given)), rankdata(given))


# in a real worker, as a user calls it -------------------------------------------------------------


def test_a_users_own_test_takes_a_path_a_name_or_the_function(tmp_path):
    two = """
@confidence_score(version="1.0")
def good(outputs): return outputs.logits.amax(dim=1)

@confidence_score(version="1.0")
def constant(outputs): return outputs.logits.amax(dim=1) * 0
"""
    path = write(tmp_path, two)
    with pytest.raises(AssertionError) as raised:
        check_method(f"{path}:constant")
    assert str(raised.value) == (
        f"constant: runs, and answers with finite numbers of shape (n,): "
        f"it gave the same confidence to all {SAMPLES} samples"
    )
    check_method(f"{path}:good")
    check_method(decorated_here)


def test_a_path_object_and_a_method_that_hangs(tmp_path):
    path = write(tmp_path, '@confidence_score(version="1.0")\ndef f(outputs):\n    while True: pass\n')
    with pytest.raises(AssertionError, match="did not answer within 1 s"):
        check_method(path, seconds=1.0)


def test_what_is_not_decorated_is_refused():
    with pytest.raises(UsageError, match="put @confidence_score above its definition"):
        check_method(lambda outputs: outputs)


def test_what_a_method_does_to_the_network_ends_with_the_call(tmp_path):
    """Else a sample's confidence would depend on which units came before."""
    path = tmp_path / "vandal.py"
    path.write_text(
        "import torch\nfrom harness import confidence_score\n\n\n"
        "@confidence_score(version='1', needs=('inputs', 'model'))\ndef vandal(outputs):\n"
        "    answer = outputs.model(outputs.inputs).amax(dim=1).detach()\n"
        "    outputs.model.register_forward_hook(lambda module, given, result: result + 1)\n"
        "    with torch.no_grad():\n        outputs.model.classifier.weight.zero_()\n"
        "    return answer\n"
    )
    method = InProcess(path, tmp_path)
    method.call("fit", {}, seed=0, meta={"reference": [], "network": {"family": "plain", "classes": 4}})
    inputs = np.random.default_rng(0).normal(size=(6, 1, 28, 28)).astype(np.float32)
    arrays = {"logits": np.zeros((6, 4), np.float32), "inputs": inputs}
    first, second = (method.call("score", arrays, seed=1)["confidence"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.ptp(first) > 0
