"""Every metric refuses every input that has no answer, with a sentence that names the cause."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics import METRICS, risk_coverage_curve

OPTIONS = {
    "risk_at_coverage": {"coverage": 0.8},
    "coverage_at_risk": {"risk": 0.1},
    "balanced_augrc": {"labels": [0, 1, 1]},
    "balanced_aurc": {"labels": [0, 1, 1]},
}
FUNCTIONS = {**{name: info.function for name, info in METRICS.items()}, "curve": risk_coverage_curve}

GOOD = [0.1, 0.5, 0.9]
RIGHT = [1, 0, 0]
HOSTILE = {
    "nan confidence": ([0.1, np.nan, 0.9], RIGHT, "confidence must be finite: sample 1 holds nan"),
    "inf confidence": ([0.1, 0.5, np.inf], RIGHT, "confidence must be finite: sample 2 holds inf"),
    "minus inf confidence": ([-np.inf, 0.5, 0.9], RIGHT, "confidence must be finite: sample 0 holds -inf"),
    "nan residual": (GOOD, [1, 0, np.nan], "residual must be finite: sample 2 holds nan"),
    "inf residual": (GOOD, [1, 0, np.inf], "residual must be finite: sample 2 holds inf"),
    "negative residual": (GOOD, [1, 0, -0.5], "residual must not be negative: sample 2 holds -0.5"),
    "empty": ([], [], "confidence is empty"),
    "empty residual": (GOOD, [], "residual is empty"),
    "short residual": (GOOD, [1, 0], "confidence has 3 samples, residual has 2"),
    "long residual": (GOOD, [1, 0, 0, 0], "confidence has 3 samples, residual has 4"),
    "scalar": (0.5, 1, "confidence must have one dimension"),
    "column of residuals": (GOOD, [[1], [0], [0]], "residual must have one dimension"),
    "text": (["a", "b", "c"], RIGHT, "confidence must be real numbers"),
    "complex": ([1j, 2, 3], RIGHT, "confidence must be real numbers"),
    "None": ([0.1, None, 0.9], RIGHT, "confidence must be real numbers"),
    "ragged": ([[0.1], [0.5, 0.6], 0.9], RIGHT, "confidence cannot be read as an array"),
    "masked": (np.ma.masked_array(GOOD, [0, 1, 0]), RIGHT, "confidence is a masked array"),
    "dates": (np.array(GOOD).astype("M8[s]"), RIGHT, "confidence must be real numbers"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_input(name, hostile):
    confidence, residual, cause = HOSTILE[hostile]
    with pytest.raises(ValueError, match=cause) as raised:
        FUNCTIONS[name](confidence, residual, **OPTIONS.get(name, {}))
    assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"brier", "nll"}))
def test_a_column_of_confidences(name):
    with pytest.raises(ValueError, match="confidence must have one dimension"):
        FUNCTIONS[name]([[0.1], [0.5], [0.9]], RIGHT, **OPTIONS.get(name, {}))


def test_a_tensor_that_requires_gradients():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="confidence cannot be read as an array"):
        METRICS["augrc"].function(torch.tensor(GOOD, requires_grad=True), RIGHT)
