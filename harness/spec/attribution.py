"""Benchmarks of the attribution track: models to explain, samples, metrics with their constants, and the pool."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.spec.artefact import Artefact
from harness.spec.base import Grown, Slug, Spec
from harness.spec.benchmark import Benchmark, require, unique
from harness.spec.method import Architecture, Criterion, Modality

Installed = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")]
Constant = bool | int | float | str | tuple[int | float, ...]


class ExplainedModel(Spec):
    """A trained classifier. `seed` tells trainings of one family apart."""

    id: Slug
    seed: int = 0
    modality: Modality
    architecture: Architecture


class BundledNetwork(ExplainedModel):
    """A small network of the harness, whose weights travel with it."""

    family: Slug
    weights: Artefact


class OwnNetwork(ExplainedModel):
    """Any `torch.nn.Module`, returned by a factory that is called with `arguments`.

    `factory` is a Python file, of which `symbol` is called, or `package.module:function` of something installed.

    Where there are `weights` (safetensors), they are loaded strictly. `cam_layer`, `representation` and `blocks` are
    names of sub-modules that some methods and metrics look into; `grid` is how tokens lie in space.
    """

    factory: Artefact | Installed
    symbol: str = "build"
    arguments: dict[str, Constant] = Field(default_factory=dict)
    weights: Artefact | None = None
    cam_layer: str | None = None
    representation: str | None = None
    blocks: str | None = None
    grid: tuple[int, ...] | None = None


class DigitSet(Spec):
    """Digits of one modality, plain or beside a distractor; `split` names the list of their indices."""

    id: Slug
    modality: Modality
    variant: Literal["plain", "distractor"]
    split: str = "observations"
    count: int | None = Field(default=None, ge=1)


class DigitSource(Spec):
    """MNIST digits as images, volumes and point clouds, and networks that travel with the harness."""

    kind: Literal["digits"]
    models: Annotated[tuple[BundledNetwork, ...], Field(min_length=1)]
    sets: Annotated[tuple[DigitSet, ...], Field(min_length=1)]
    splits: Artefact
    background: str = Field(default="background", description="split of the background set that methods may use")
    seed: int = Field(default=0, ge=0)

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash."""
        return all(each.sha256 for each in (self.splits, *(model.weights for model in self.models)))


class ArraySet(Grown):
    """Samples in an `.npz` file, such as those of MedMNIST.

    inputs, labels, masks, background: names of arrays. Inputs are (n, *spatial), (n, *spatial, c) with `channels`
    last, or (n, c, *spatial) with channels first; they are divided by `scale`, then `mean` is subtracted and the
    result divided by `std` (one number, or one a channel). Labels are (n,) or (n, 1). `count` samples are taken, and
    `background_count` of the background, all in the file's order or shuffled by `seed`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"background_count"})

    id: Slug
    modality: Modality
    file: Artefact
    inputs: str = "inputs"
    labels: str = "labels"
    masks: str | None = None
    background: str | None = None
    channels: Literal["none", "first", "last"] = "none"
    scale: float = Field(default=1.0, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    count: int | None = Field(default=None, ge=1)
    background_count: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0)


class ArraySource(Spec):
    """A user's own images, volumes or clouds, and the networks that classify them."""

    kind: Literal["arrays"]
    models: Annotated[tuple[OwnNetwork, ...], Field(min_length=1)]
    sets: Annotated[tuple[ArraySet, ...], Field(min_length=1)]

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash."""
        files = [file for model in self.models for file in (model.factory, model.weights)]
        files += [each.file for each in self.sets]
        return all(each.sha256 for each in files if isinstance(each, Artefact))


class MetricUse(Spec):
    """A metric of the protocol with its constants, which `by_study` overrides for single studies."""

    id: str
    constants: dict[str, Constant] = Field(default_factory=dict)
    by_study: dict[Slug, dict[str, Constant]] = Field(default_factory=dict)


class AttributionStudy(Spec):
    """Samples, the models that are explained on them, and the metrics that are taken."""

    id: Slug
    samples: Slug
    models: Annotated[tuple[Slug, ...], Field(min_length=1)]
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    group: Slug = Field(description="studies of one group are averaged where tables show one column")


class AttributionBenchmark(Benchmark):
    """How good are maps of what speaks for a class? Many metrics, aggregated into robust ranks.

    maps: "signed" as methods give them, or only their "positive" part. reference: the pool of methods that sets the
    scale and the ranks; any other method gets the ranks it would have if it alone joined them. overall: criteria
    whose mean ranks are averaged into the column that orders the board.
    """

    task: Literal["attribution"]
    source: Annotated[DigitSource | ArraySource, Field(discriminator="kind")]
    studies: Annotated[tuple[AttributionStudy, ...], Field(min_length=1)]
    metrics: Annotated[tuple[MetricUse, ...], Field(min_length=1)]
    maps: Literal["signed", "positive"] = "signed"
    metric_seed: int = Field(default=0, ge=0)
    explained_at_once: int = Field(default=16, ge=1, description="samples in one call of the method")
    reference: tuple[Slug, ...] = ()
    overall: Annotated[tuple[Criterion, ...], Field(min_length=1)] = ("faithfulness", "robustness", "complexity")

    @property
    def pool(self) -> tuple[str, ...]:
        return self.reference

    @model_validator(mode="after")
    def _names_agree(self) -> AttributionBenchmark:
        sets = {each.id: each.modality for each in self.source.sets}
        models = {each.id: each.modality for each in self.source.models}
        metrics = {each.id for each in self.metrics}
        studies = {each.id for each in self.studies}
        for study in self.studies:
            require(study.samples in sets, f"study {study.id} uses the sample set {study.samples!r}", set(sets))
            for name in study.models:
                require(name in models, f"study {study.id} explains the model {name!r}", set(models))
                if models[name] != sets[study.samples]:
                    raise ValueError(
                        f"study {study.id}: {name} is for modality {models[name]}, but its samples are of modality "
                        f"{sets[study.samples]}"
                    )
            for name in study.metrics:
                require(name in metrics, f"study {study.id} takes the metric {name!r}", metrics)
            unique(list(study.models), f"study {study.id}: model")
            unique(list(study.metrics), f"study {study.id}: metric")
        for use in self.metrics:
            for name in use.by_study:
                require(name in studies, f"metric {use.id}: by_study names {name!r}", studies)
        unique([each.id for each in self.studies], "study")
        unique([each.id for each in self.metrics], "metric")
        unique([each.id for each in self.source.sets], "sample set")
        unique([each.id for each in self.source.models], "model")
        return self
