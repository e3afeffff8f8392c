"""Answers that cannot be ranked end their unit, with a reason, and no other."""

import re

import pytest

from .support import HONEST, ends, run_each

ANSWERS = {
    "before": HONEST,
    "nan": "c = outputs.logits.amax(1); c[outputs.logits.argmax(1) == 2] = float('nan'); return c",
    "infinite": "c = outputs.logits.amax(1); c[outputs.logits.argmax(1) == 2] = -float('inf'); return c",
    "beyond-float64": "return np.longdouble(10) ** 400 * outputs.logits.amax(1).numpy()",
    "matrix": "return outputs.logits",
    "too-short": "return outputs.logits.amax(1)[1:]",
    "scalar": "return outputs.logits.mean()",
    "integers": "return outputs.logits.argmax(1)",
    "booleans": "return outputs.logits.amax(1) > 1",
    "complex": "return outputs.logits.amax(1).numpy() * 1j",
    "objects": "return np.array([object()] * len(outputs))",
    "structured": "return np.zeros(len(outputs), dtype=[('a', 'f8')])",
    "texts": "return [str(i) for i in range(len(outputs))]",
    "ragged": "return [[1.0]] * (len(outputs) - 1) + [[]]",
    "sparse": "return outputs.logits.amax(1).to_sparse()",
    "constant": "return torch.full((len(outputs),), 0.5)",
    "almost-constant": "c = torch.full((len(outputs),), 0.5, dtype=torch.float64); c[0] += 1e-12; return c",
    "nothing": "return None",
    "a-method": "return outputs.logits.amax",
    "list": "return outputs.probabilities.amax(1).tolist()",
    "half": "return outputs.probabilities.amax(1).half()",
    "brain-float": "return outputs.probabilities.amax(1).bfloat16()",
    "with-gradient": "return outputs.probabilities.amax(1).requires_grad_()",
    "reversed-view": "return outputs.probabilities.amax(1).numpy()[::-1].copy()[::-1]",
    "in-place": "c = outputs.logits.amax(1); outputs.logits.zero_(); outputs._arrays['logits'][:] = 7; return c",
    "beyond-float32": "return outputs.logits.amax(1) * 1e300",
    "after": HONEST,
}
REASONS = {
    "nan": "14 of 60 confidences are NaN or infinite",
    "infinite": "13 of 60 confidences are NaN or infinite",
    "beyond-float64": "some confidences are too large for float64 (beyond 1.8e+308)",
    "matrix": "it returned shape (N, 5), expected (N,)",
    "too-short": "it returned shape (N - 1,), expected (N,)",
    "scalar": "it returned shape (), expected (N,)",
    "integers": "it returned dtype int64; confidences are floating-point numbers",
    "booleans": "it returned dtype bool; confidences are floating-point numbers",
    "complex": "it returned dtype complex128; confidences are floating-point numbers",
    "objects": "it returned ndarray, not a tensor or array of numbers",
    "structured": "it returned ndarray, not a tensor or array of numbers",
    "texts": "it returned list, not a tensor or array of numbers",
    "ragged": "it returned list, not a tensor or array of numbers",
    "sparse": "it returned Tensor, not a tensor or array of numbers",
    "constant": "it gave the same confidence to all 60 samples",
    "nothing": "it returned NoneType, not a tensor or array of numbers",
    "a-method": "it returned builtin_function_or_method, not a tensor or array of numbers",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_each(tmp_path_factory.mktemp("answers"), ANSWERS)


@pytest.mark.parametrize("study", REASONS)
def test_an_unusable_answer_is_invalid_and_says_why(result, study):
    status, reason = ends(result)[study]
    if asked := re.search(r"expected \((\d+),\)$", reason):  # batches are of random sizes
        reason = re.sub(rf"\b{asked[1]}\b", "N", reason).replace(f"({int(asked[1]) - 1},", "(N - 1,")
    assert (status, reason) == ("invalid", REASONS[study])


@pytest.mark.parametrize("study", [study for study in ANSWERS if study not in REASONS])
def test_any_finite_floating_vector_is_scored(result, study):
    assert ends(result)[study] == ("ok", "")


def test_only_scored_units_have_numbers(result):
    for unit in result.document.units:
        scored = unit.model not in REASONS
        assert bool(unit.records) == scored
        assert (unit.outputs is not None) == scored
    assert {(row.status, row.value) for row in result.document.summary} == {("incomplete", None)}
    assert len(result.outputs()) == len(ANSWERS) - len(REASONS)


def test_what_a_method_does_to_its_inputs_reaches_no_other_unit(tmp_path, result):
    alone = run_each(tmp_path, dict.fromkeys(ANSWERS, HONEST))
    spoilt = {unit.model: unit.records for unit in result.document.units}
    honest = {unit.model: unit.records for unit in alone.document.units}
    assert spoilt["after"] == honest["after"]
    assert spoilt["before"] == honest["before"]
