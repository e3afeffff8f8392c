"""Benchmarks of metrics: stored maps of explained networks, and what a metric's scores of them are held against."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.artefact import Artefact
from harness.spec.attribution import ArraySource, DigitSource
from harness.spec.base import Slug, Spec
from harness.spec.benchmark import Benchmark, require, unique
from harness.spec.method import Criterion


class StoredMaps(Spec):
    """Maps of one network's decisions on one set, in a file as `harness.tracks.attribution_metric.maps` describes it."""

    model: Slug
    samples: Slug
    file: Artefact


class MappedDigits(DigitSource):
    """Digits, bundled networks, and maps of them."""

    maps: Annotated[tuple[StoredMaps, ...], Field(min_length=1)]

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash."""
        return super().locked and all(each.file.sha256 for each in self.maps)


class MappedArrays(ArraySource):
    """A user's own samples and networks, and maps of them."""

    maps: Annotated[tuple[StoredMaps, ...], Field(min_length=1)]

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash."""
        return super().locked and all(each.file.sha256 for each in self.maps)


class AttributionMetricStudy(Spec):
    """Samples and the networks whose maps of them are scored.

    retrained: networks of the study that differ in the seed of their training only; a metric should order methods
    alike on all of them.
    """

    id: Slug
    samples: Slug
    models: Annotated[tuple[Slug, ...], Field(min_length=1)]
    retrained: tuple[Slug, ...] = ()
    group: Slug = Field(description="studies of one group are averaged where tables show one column")


class AttributionMetricBenchmark(Benchmark):
    """What is a metric of attribution maps worth?

    reference: criterion -> metrics whose consensus stands for it; their scores lie beside the maps. sanity: XAI
    methods that know nothing, below which real ones must not fall. alpha: level at which two methods count as told
    apart.
    """

    task: Literal["attribution-metric"]
    source: Annotated[MappedDigits | MappedArrays, Field(discriminator="kind")]
    studies: Annotated[tuple[AttributionMetricStudy, ...], Field(min_length=1)]
    reference: dict[Criterion, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    sanity: Annotated[tuple[Slug, ...], Field(min_length=1)]
    alpha: float = Field(default=0.05, gt=0, lt=1)
    scored_at_once: int = Field(default=32, ge=1, description="maps in one call of the metric")

    @model_validator(mode="after")
    def _names_agree(self) -> AttributionMetricBenchmark:
        sets = {each.id: each.modality for each in self.source.sets}
        models = {each.id: each.modality for each in self.source.models}
        stored = {(each.model, each.samples) for each in self.source.maps}
        for study in self.studies:
            require(study.samples in sets, f"study {study.id} uses the sample set {study.samples!r}", set(sets))
            for name in study.models:
                require(name in models, f"study {study.id} has the model {name!r}", set(models))
                if models[name] != sets[study.samples]:
                    raise ValueError(f"study {study.id}: {name} and {study.samples} are of different modalities")
                known = {f"{model} on {samples}" for model, samples in stored}
                require((name, study.samples) in stored, f"study {study.id} needs maps of {name}", known)
            for name in study.retrained:
                require(name in study.models, f"study {study.id}: retrained names {name!r}", set(study.models))
            if len(study.retrained) == 1:
                raise ValueError(f"study {study.id}: one network alone is no retraining; name two or more, or none")
            unique(list(study.models), f"study {study.id}: model")
            unique(list(study.retrained), f"study {study.id}: retrained network")
        unique([each.id for each in self.studies], "study")
        unique([each.id for each in self.source.sets], "sample set")
        unique([each.id for each in self.source.models], "model")
        unique([f"{each.model} on {each.samples}" for each in self.source.maps], "file of maps of")
        return self
