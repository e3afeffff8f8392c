"""Benchmarks: protocols as data. A released version is never edited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.artefact import Artefact
from harness.spec.base import Document, Slug, Spec
from harness.spec.sources import Source

StudyKind = Literal["iid", "covariate-shift", "domain-shift", "new-class"]


class Study(Spec):
    """One question asked of a method: which samples, and what counts as a failure.

    `samples` are scored by the correctness of the predicted class. In a `new-class` study the
    samples in `unknown` belong to no class of the model: each of them is a failure, and
    misclassified members of `samples` are left out (the *proposed mode* of FD-Shifts), so that
    only the new class is to be detected.
    """

    id: Slug
    kind: StudyKind
    samples: Slug
    unknown: Slug | None = None
    group: Slug = Field(description="studies of one group are averaged where boards show one column")

    @model_validator(mode="after")
    def _new_class_has_unknown_samples(self) -> Study:
        if (self.kind == "new-class") != (self.unknown is not None):
            raise ValueError(f"study {self.id}: `unknown` belongs to studies of kind new-class, and only to them")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sample sets, in the order in which the method's answers are stored."""
        return (self.samples,) if self.unknown is None else (self.samples, self.unknown)


class Reference(Spec):
    """Labelled outputs that a method may learn from: never part of any study."""

    train: Slug | None = None
    validation: Slug | None = None


class Bootstrap(Spec):
    """Resampling of test samples and of training seeds, shared by all methods of a benchmark."""

    replicates: int = Field(default=500, ge=20, le=10_000)
    seed: int = 0


class Benchmark(Document):
    """Header that every benchmark has, whatever its track."""

    id: Slug
    version: int = Field(ge=1)
    title: str
    description: str = ""
    licence: str = ""
    citation: tuple[str, ...] = ()
    status: Literal["open", "deprecated"] = "open"
    successor: str | None = None

    @property
    def name(self) -> str:
        """`id@version`, as users write it."""
        return f"{self.id}@{self.version}"


class ConfidenceBenchmark(Benchmark):
    """Failure detection under shift: how well does a score tell a model's failures from its successes?"""

    task: Literal["confidence"]
    source: Source
    studies: Annotated[tuple[Study, ...], Field(min_length=1)]
    reference: Reference = Reference()
    default_family: Slug = Field(default="default", description="the models that methods without a head are run on")
    primary: str = "augrc"
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    bootstrap: Bootstrap = Bootstrap()
    outcomes: Artefact | None = Field(
        default=None,
        description="pinned labels and predictions, so that a score is the same on every machine",
    )

    @model_validator(mode="after")
    def _names_agree(self) -> ConfidenceBenchmark:
        known = set(self.source.set_names)
        for study in self.studies:
            for name in study.sets:
                require(name in known, f"study {study.id} uses the sample set {name!r}", known)
        for part in (self.reference.train, self.reference.validation):
            require(part is None or part in known, f"reference uses the sample set {part!r}", known)
        used = {name for study in self.studies for name in study.sets}
        overlap = used & {self.reference.train, self.reference.validation}
        if overlap:
            raise ValueError(f"{', '.join(map(repr, sorted(filter(None, overlap))))} is both reference and test set")
        require(self.primary in self.metrics, f"the primary metric {self.primary!r} is used", set(self.metrics))
        families = {model.family for model in self.source.models}
        require(self.default_family in families, f"default_family is {self.default_family!r}", families)
        unique([study.id for study in self.studies], "study")
        unique(list(self.metrics), "metric")
        for study in self.studies:
            for other in self.studies:
                if study.group == other.id != study.id:
                    raise ValueError(f"study {study.id} is in the group {other.id}, which is the name of another study")
        unique([model.id for model in self.source.models], "model")
        return self


def require(condition: bool, claim: str, known: set[str]) -> None:
    """Raise a ValueError that names what is known."""
    if not condition:
        raise ValueError(f"{claim}, but only these are defined: {', '.join(sorted(known))}")


def unique(names: list[str], what: str) -> None:
    """Raise a ValueError for a name that is there twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} {', '.join(twice)} is defined more than once")
