"""What a user declares, and what a benchmark file says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.methods.interface import DECLARATION
from harness.spec.artefact import Artefact
from harness.spec.base import Slug, Spec
from harness.spec.benchmark import Benchmark
from harness.spec.method import DeclaredMethod


def uncertainty_score(*, version: str, name: str | None = None, citation: str = "") -> Callable[[Any], Any]:
    """Declare a function of predictions (members, n) that gives uncertainties (n,), higher = more uncertain."""

    def declare(method: Any) -> Any:
        setattr(method, DECLARATION, {"version": version, "name": name, "citation": citation})
        return method

    return declare


class UncertaintyMethod(DeclaredMethod):
    task: Literal["regression-uncertainty"]


class Ensemble(Spec):
    """One file a model: `predictions` (members, n) and `targets` (n,)."""

    id: Slug
    seed: int
    table: Artefact


class Ensembles(Spec):
    models: Annotated[tuple[Ensemble, ...], Field(min_length=1)]

    @property
    def locked(self) -> bool:
        return all(model.table.sha256 is not None for model in self.models)


class RegressionStudy(Spec):
    """A range of rows of every table."""

    id: Slug
    group: Slug
    rows: tuple[int, int]


class RegressionBenchmark(Benchmark):
    task: Literal["regression-uncertainty"]
    source: Ensembles
    studies: Annotated[tuple[RegressionStudy, ...], Field(min_length=1)]
