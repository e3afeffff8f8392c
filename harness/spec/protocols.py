"""A benchmark of any installed kind, read by the task that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.spec.benchmark import Benchmark
from harness.spec.kinds import kind_of


def read_benchmark(fields: Mapping[str, Any]) -> Benchmark:
    """A benchmark of the kind that its task names. Raises ValueError for a task that is not installed, and pydantic's
    ValidationError."""
    return kind_of(fields.get("task")).benchmark.model_validate(fields)
