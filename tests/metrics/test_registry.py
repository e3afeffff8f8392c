from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest

from harness import metrics
from harness.metrics import METRICS, budget_curve, segmentation
from harness.metrics.bootstrap import KERNELS


@pytest.mark.parametrize("name", METRICS)
def test_entries_describe_public_functions(name):
    info = METRICS[name]
    assert info.id == name == info.function.__name__
    assert getattr(metrics, name) is info.function
    assert info.range[0] < info.range[1]
    assert inspect.getdoc(info.function)
    assert ("labels" in info.needs) == ("labels" in inspect.signature(info.function).parameters)


def test_the_table_is_complete():
    functions = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    functions -= {name for module in (budget_curve, segmentation) for name in vars(module)}
    others = {
        "bootstrap_weights",
        "paired_bootstrap",
        "replicate_table",
        "risk_coverage_curve",
        "weighted_replicates",
    }
    assert functions - others == set(METRICS)
    assert set(KERNELS) <= {info.function for info in METRICS.values()}


def test_areas_are_shown_in_thousandths():
    areas = {name for name, info in METRICS.items() if info.display_scale == 1000}
    assert areas == {name for name in METRICS if name.endswith(("augrc", "aurc"))}


@pytest.mark.parametrize("name", METRICS)
def test_direction_and_range(name):
    """The right order of a sample scores better than the reverse, and both lie in the range."""
    info = METRICS[name]
    options = {"risk_at_coverage": {"coverage": 0.5}, "coverage_at_risk": {"risk": 0.2}}.get(name, {})
    if "labels" in info.needs:
        options = {"labels": [0, 1, 0, 1, 0, 1, 0, 1]}
    confidence, residual = np.arange(1, 9) / 9, np.array([1, 1, 1, 0, 1, 0, 0, 0])
    good = info.function(confidence, residual, **options)
    bad = info.function(confidence, residual[::-1], **options)
    assert (good < bad) if info.lower_is_better else (good > bad)
    assert info.range[0] <= min(good, bad) <= max(good, bad) <= info.range[1]


def test_the_table_is_frozen():
    with pytest.raises(TypeError):
        METRICS["augrc"] = METRICS["aurc"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        METRICS["augrc"].version = "2"


@pytest.mark.parametrize(
    ("metric", "heavy"),
    [("aurc", "scipy pandas torch sklearn matplotlib"), ("augrc", "pandas torch sklearn matplotlib")],
)
def test_metrics_and_bootstrap_load_little(metric, heavy):
    """Nothing beside numpy, but for the sums of AUGRC over resamples, which are products of sparse matrices."""
    code = (
        "import sys, harness.metrics as m\n"
        "assert 'scipy' not in sys.modules\n"
        f"m.paired_bootstrap({{'a': [1, 2], 'b': [2, 1]}}, [0, 1], m.{metric}, n=5)\n"
        f"assert not set(sys.modules) & set({heavy!r}.split())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
