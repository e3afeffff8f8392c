"""A benchmark of any installed kind, read by the task that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.spec.benchmark import Benchmark
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of


def read_benchmark(fields: Mapping[str, Any]) -> Benchmark:
    """A benchmark of the kind that its task names. Raises UsageError for another task, and pydantic's ValidationError."""
    try:
        kind = kind_of(fields.get("task"))
    except ValueError as error:
        raise UsageError(f"task: {error}.") from error
    return kind.benchmark.model_validate(fields)
