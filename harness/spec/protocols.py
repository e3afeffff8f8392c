"""A benchmark of any track, read by the task that it names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from harness.spec.attribution import AttributionBenchmark
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.meta import MetaBenchmark
from harness.spec.query import QueryBenchmark

AnyBenchmark = Annotated[
    ConfidenceBenchmark | QueryBenchmark | AttributionBenchmark | MetaBenchmark, Field(discriminator="task")
]
_READER: TypeAdapter[ConfidenceBenchmark | QueryBenchmark | AttributionBenchmark | MetaBenchmark] = TypeAdapter(
    AnyBenchmark
)


def read_benchmark(fields: dict[str, Any]) -> AnyBenchmark:
    """A benchmark of the kind that its task names. Raises pydantic's ValidationError."""
    return _READER.validate_python(fields)
