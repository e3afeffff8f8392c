"""A run's identity is what may change a number, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.spec.method import ConfidenceMethod
from harness.spec.result import Record
from harness.spec.run import RunSpec
from harness.storage import content_id

HASH = "0" * 64


def method(**changes: Any) -> ConfidenceMethod:
    given = {
        "task": "confidence",
        "name": "margin",
        "version": "1.0",
        "origin": "file",
        "target": "margin.py:margin",
        "symbol": "margin",
        "source_sha256": HASH,
    }
    return ConfidenceMethod.model_validate(given | changes)


def spec(**changes: Any) -> RunSpec:
    given = {
        "task": "confidence",
        "benchmark": "toy@1",
        "benchmark_hash": HASH,
        "method": method(),
        "metric_versions": {"augrc": "1"},
        "submittable": True,
    }
    return RunSpec.model_validate(given | changes)


def identity(run: RunSpec) -> str:
    return content_id(run.canonical())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"device": "cuda"},
        {"limit": 10, "submittable": False},
        {"benchmark_hash": "1" * 64},
        {"metric_versions": {"augrc": "2"}},
        {"method": method(source_sha256="1" * 64)},
        {"method": method(version="1.1")},
        {"method": method(classifier="mc-mean")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_may_change_a_number_changes_the_identity(changes: dict[str, Any]) -> None:
    assert identity(spec(**changes)) != identity(spec())


def test_what_is_only_said_about_a_method_does_not() -> None:
    described = method(target="other.py:margin", summary="a margin", citation="somebody")
    assert identity(spec(method=described)) == identity(spec())


def test_a_limited_run_cannot_claim_to_be_submittable() -> None:
    with pytest.raises(ValidationError, match="not submittable"):
        spec(limit=5)


def test_a_run_reads_back_as_it_was_written() -> None:
    run = spec(seed=3)
    assert RunSpec.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_missing_is_a_status_never_a_number(value: float) -> None:
    with pytest.raises(ValidationError):
        Record(metric="augrc", value=value, n=3)


def test_value_and_status_go_together() -> None:
    with pytest.raises(ValidationError):
        Record(metric="augrc", value=None, n=3)
    with pytest.raises(ValidationError):
        Record(metric="augrc", value=0.1, n=3, status="undefined")
