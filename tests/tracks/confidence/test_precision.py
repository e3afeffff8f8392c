"""Confidences keep their order from the user's file to the score, however close they lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata

import harness
from harness.execution.run_result import RunResult
from harness.methods.baselines.confidence.temperature_mls import TemperatureMLS, TemperatureMLSFDShifts
from harness.methods.outputs import LabelledOutputs, Reference
from tests.methods.support import write

pytestmark = pytest.mark.usefixtures("in_this_process")

SAMPLES = 4000
BENCHMARK = """
id = "close"
version = 1
title = "Very sure"
task = "confidence"
metrics = ["augrc", "aurc", "ece", "brier", "nll", "failure_nll"]
bootstrap = { replicates = 20 }
studies = [{ id = "iid", kind = "iid", samples = "iid", group = "iid" }]

[source]
kind = "table"
holds = "HOLDS"
values = "values"
models = [{ id = "network", table = { path = "table.npz" } }]
sets = { iid = { rows = [0, ROWS] } }
"""


def table(folder: Path, values: np.ndarray, labels: np.ndarray, holds: str = "logits") -> Path:
    np.savez(folder / "table.npz", values=values, labels=labels)
    (folder / "benchmark.toml").write_text(BENCHMARK.replace("HOLDS", holds).replace("ROWS", str(len(labels))))
    return folder / "benchmark.toml"


def sure(classes: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network that is very sure, also where it errs, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=SAMPLES)
    return scale * (rng.normal(size=(SAMPLES, classes)) / 2 + np.eye(classes)[labels]), labels


def evaluated(method: Any, benchmark: Path) -> tuple[dict[str, float | None], RunResult]:
    result = harness.evaluate(method, benchmark=str(benchmark), out=benchmark.parent / "runs", workers=1)
    (unit,) = result.document.units
    assert unit.status == "ok", unit.reason
    return {record.metric: record.value for record in unit.records}, result


def stored(result: RunResult) -> np.ndarray:
    (answers,) = result.outputs().values()
    return answers["confidence"]


def augrc(confidence: np.ndarray, failure: np.ndarray) -> float:
    """From its closed form: mean residual times the share of samples that are less confident, ties by half."""
    return float((failure * (rankdata(confidence) - 0.5)).sum() / len(failure) ** 2)


@pytest.mark.parametrize("precision", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("scale", [6.0, 11.0])
def test_scores_that_are_one_ranking_for_two_classes_have_one_augrc(
    tmp_path: Path, precision: type[np.floating[Any]], scale: float
) -> None:
    logits, labels = sure(2, scale)
    logits = logits.astype(precision)
    failure = (logits.argmax(1) != labels).astype(float)
    difference = np.abs(logits[:, 0].astype(float) - logits[:, 1])
    assert len(np.unique(softmax(logits.astype(float), axis=1).max(1).astype(np.float32))) < len(np.unique(difference))
    benchmark = table(tmp_path, logits, labels)
    values = {name: evaluated(name, benchmark)[0] for name in ("msr", "margin", "pe")}
    assert values["msr"]["augrc"] == values["margin"]["augrc"] == values["pe"]["augrc"]
    for name in ("margin", "pe"):  # sums over more or fewer ties among equal outcomes differ in the last bit
        assert values[name]["aurc"] == pytest.approx(values["msr"]["aurc"], rel=1e-14)
    assert values["msr"]["augrc"] == pytest.approx(augrc(difference, failure), abs=1e-15)


@pytest.mark.parametrize("name", ["msr", "pe"])
def test_logits_that_were_rounded_to_half_precision_give_what_they_give_in_double(tmp_path: Path, name: str) -> None:
    logits, labels = sure(10, 16.0)
    logits = logits.astype(np.float16)
    failure = (logits.argmax(1) != labels).astype(float)
    p, log_p = (f(logits.astype(np.float64), axis=1) for f in (softmax, log_softmax))
    expected = {"msr": p.max(1), "pe": (p * log_p).sum(1)}[name]
    rounded = augrc(expected.astype(np.float32), failure)
    values, result = evaluated(name, table(tmp_path, logits, labels))
    assert values["augrc"] == pytest.approx(augrc(expected, failure), abs=1e-9)
    if name == "msr":
        assert abs(rounded - augrc(expected, failure)) > 1e-5, "single precision would give another score"
        assert stored(result).dtype == np.float64


def test_logits_that_only_double_precision_tells_apart_are_read_as_they_are(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).permutation(SAMPLES)
    logits = np.column_stack([2 + 1e-9 * steps, np.zeros(SAMPLES)])
    _, result = evaluated("mls", table(tmp_path, logits, np.arange(SAMPLES) % 2))
    np.testing.assert_array_equal(rankdata(stored(result)), steps + 1)
    assert stored(result).dtype == np.float64


def test_probabilities_in_double_precision_are_read_as_they_are(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).permutation(SAMPLES)
    doubt = 1e-12 * (1 + steps)
    _, result = evaluated("msr", table(tmp_path, np.column_stack([1 - doubt, doubt]), steps % 2, "probabilities"))
    np.testing.assert_array_equal(rankdata(stored(result)), SAMPLES - steps)


def test_what_single_precision_orders_alike_is_stored_in_it(tmp_path: Path) -> None:
    logits, labels = sure(10, 1.0)
    _, result = evaluated("mls", table(tmp_path, logits.astype(np.float32), labels))
    assert stored(result).dtype == np.float32


def test_a_probability_that_rounding_lifted_above_one_still_is_one(tmp_path: Path) -> None:
    body = """
    @confidence_score(version="1")
    def lifted(outputs):
        return outputs.probabilities.amax(dim=1) * (1 + 2**-51)
    """
    logits, labels = sure(3, 30.0)
    benchmark = table(tmp_path, logits, labels)
    values, result = evaluated(str(write(tmp_path, body)), benchmark)
    assert stored(result).max() > 1
    plain, _ = evaluated("msr", benchmark)
    for metric in ("ece", "brier", "nll", "failure_nll"):
        assert values[metric] == pytest.approx(plain[metric], abs=1e-6), metric


# real classifiers ---------------------------------------------------------------------------------

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))


@pytest.mark.parametrize(
    ("name", "published", "optimum"),
    [
        ("lenet-5-cifar-10", 1.095, 1.336),
        ("wideresnet-16-4-cifar-10", 1.195, 1.900),
        ("wideresnet-16-4-cifar-100", 1.040, 1.108),
    ],
)
def test_temperatures_of_real_classifiers(name: str, published: float, optimum: float) -> None:
    """What FD-Shifts' optimiser leaves, and the optimum, on the first 1,000 rows."""
    path = SHARED / "data" / "netcal" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here; HARNESS_SHARED names the folder that has data/netcal")
    with np.load(path, allow_pickle=False) as arrays:
        given = {"probabilities": arrays["predictions"][:1000], "labels": arrays["ground_truth"].reshape(-1)[:1000]}
    reference = Reference({"validation": LabelledOutputs(given)})
    for method, expected in ((TemperatureMLSFDShifts(), published), (TemperatureMLS(), optimum)):
        method.fit(reference)
        assert method.temperature == pytest.approx(expected, abs=6e-4)
