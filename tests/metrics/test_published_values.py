"""Agreement with the values that the published FD-Shifts code returns (areas there are times 1000)."""

from __future__ import annotations

import numpy as np
import pytest

from harness import metrics
from tests.oracles import oracle

_CASES = oracle("augrc")["cases"]

AREAS = {
    "augrc": metrics.augrc,
    "aurc": metrics.aurc,
    "eaugrc": metrics.excess_augrc,
    "eaurc": metrics.excess_aurc,
    "aurc_achievable": metrics.achievable_aurc,
}
DETECTION = {
    "failauc": metrics.failure_auroc,
    "fpr@95tpr": metrics.fpr_at_tpr,
    "failap_suc": lambda c, r: metrics.failure_ap(c, r, positive="success"),
    "failap_err": metrics.failure_ap,
    "ece": metrics.ece,
    "mce": metrics.mce,
}


def _arrays(case):
    return np.array(case["confids"], dtype=float), np.array(case["residuals"], dtype=float)


def _finite(case):
    return all(np.isfinite(a).all() for a in _arrays(case))


def _is_binary(case):
    return set(_arrays(case)[1]) <= {0.0, 1.0}


FINITE = [case for case in _CASES if _finite(case)]
BROKEN = [case for case in _CASES if not _finite(case)]
BINARY = [case for case in FINITE if _is_binary(case)]
REAL = [case for case in FINITE if not _is_binary(case)]


def each(cases):
    return pytest.mark.parametrize("case", cases, ids=[c["name"] for c in cases])


@each(FINITE)
@pytest.mark.parametrize("name", AREAS)
def test_area(case, name):
    expected = float(case["reference"]["risk_coverage"][name]) / 1000
    assert AREAS[name](*_arrays(case)) == pytest.approx(expected, abs=1e-9)


@each([c for c in FINITE if c["labels"] is not None])
def test_balanced_areas(case):
    reference = case["reference"]["risk_coverage"]
    for value, name in ((metrics.balanced_augrc, "augrc_ba"), (metrics.balanced_aurc, "aurc_ba")):
        expected = float(reference[name]) / 1000
        assert value(*_arrays(case), case["labels"]) == pytest.approx(expected, abs=1e-9)


@each(FINITE)
def test_curve(case):
    curve, reference = metrics.risk_coverage_curve(*_arrays(case)), case["reference"]["risk_coverage"]
    np.testing.assert_allclose(curve.coverage, reference["coverages"], atol=1e-12)
    np.testing.assert_allclose(curve.generalized_risk, reference["generalized_risks"], atol=1e-12)
    np.testing.assert_allclose(curve.selective_risk, reference["selective_risks"], atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, reference["thresholds"])


@each(FINITE)
@pytest.mark.parametrize("percent", [100, 95, 90, 85, 80, 75])
def test_risk_at_coverage(case, percent):
    expected = case["reference"]["detection"][f"risk@{percent}cov"] / 100
    assert metrics.risk_at_coverage(*_arrays(case), percent / 100) == pytest.approx(expected, abs=1e-9)


@each(FINITE)
def test_coverage_at_risk(case):
    working_point = case["reference"]["risk_coverage"]["selective_wp_risk0.1"]
    # The published code raises if no point satisfies the risk; ours says that nothing can be covered.
    expected = 0.0 if isinstance(working_point, dict) else working_point[0]
    assert metrics.coverage_at_risk(*_arrays(case), 0.1) == pytest.approx(expected, abs=1e-12)


@each(BINARY)
@pytest.mark.parametrize("name", DETECTION)
def test_detection_and_calibration(case, name):
    confidence, residual = _arrays(case)
    expected = float(case["reference"]["detection"][name])
    if name in ("ece", "mce") and not residual.any():
        # The published code scores a sample without failures as if all were failures.
        residual = np.ones_like(residual)
    assert DETECTION[name](confidence, residual) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@each(FINITE)
def test_failure_nll(case):
    expected = float(case["reference"]["detection"]["fail-NLL"])
    assert metrics.failure_nll(*_arrays(case)) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@each(REAL)
@pytest.mark.parametrize("name", DETECTION)
def test_undefined_for_real_valued_residuals(case, name):
    assert np.isnan(float(case["reference"]["detection"][name]))
    with pytest.raises(ValueError, match="residual must be binary"):
        DETECTION[name](*_arrays(case))


@each(BROKEN)
@pytest.mark.parametrize("name", [*AREAS, *DETECTION])
def test_missing_numbers_are_refused(case, name):
    with pytest.raises(ValueError, match="must be finite"):
        (AREAS | DETECTION)[name](*_arrays(case))
