"""A run: one method under one protocol, and the units it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from harness.spec.base import Document, Sha256, Slug
from harness.spec.method import MethodSpec


class RunSpec(Document):
    """Everything that may change a number of a run, and nothing else.

    How many workers there are, how long they may take and where the run lies is not part of it.
    """

    task: str
    benchmark: str = Field(description="id@version")
    benchmark_hash: Sha256
    method: MethodSpec
    metric_versions: dict[str, str]
    seed: int = 0
    device: str = "cpu"
    limit: int | None = Field(default=None, ge=1, description="at most so many samples of each set")

    submittable: bool = Field(description="no limit, and every file of the benchmark pinned: may enter a board")

    @model_validator(mode="after")
    def _limited_runs_are_rehearsals(self) -> RunSpec:
        if self.limit is not None and self.submittable:
            raise ValueError("a run with a limit is not submittable")
        return self

    def canonical(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"method": {"target", "summary", "citation"}})


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Unit:
    """The smallest piece of work that is journaled: one study on one trained model.

    Validated as every `Spec`, in a sixth of the memory: a plan may hold millions.
    """

    task: str
    benchmark_hash: Sha256
    method_hash: Sha256
    model: Slug
    model_seed: int
    artefacts_hash: Sha256 = Field(description="over all files that the unit's numbers rest on")
    study: Slug
    seed: int
    device: str
    limit: int | None
    metrics_hash: Sha256 = Field(description="over the versions of the metrics")

    @property
    def label(self) -> str:
        return f"{self.study} · {self.model}"

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Unit:
        """From what `canonical` gave. Raises TypeError or ValidationError for anything else."""
        return cls(**plain)

    def canonical(self) -> dict[str, Any]:
        """As JSON-ready data, of which the unit's id is computed (`storage.content_id`)."""
        return {name: getattr(self, name) for name in self.__slots__}
