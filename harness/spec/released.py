"""Released networks of a published study as a source: which checkpoints, on which sets of which data sets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.spec.base import Grown, Slug, Spec
from harness.spec.grids import GridModel, Model, Pattern, TrainedNetworks, check_experiment, check_names, experiment_of

Network = Literal["vgg13", "svhn-small-conv", "resnet50", "densenet121", "densenet161", "efficientnet-b4", "vit-b16"]
Rows = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]


DataSetName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,79}|[^/\\][^\\]*\.toml)$")]
"""The id of a bundled data set, or the path of one's own `source.toml`, relative to the benchmark's file."""

CORRUPTIONS, SEVERITIES = 15, 5
"""Of the corrupted data sets of Hendrycks & Dietterich (ICLR 2019)."""


class Preparation(Grown):
    """How an image becomes what a network takes, in this order.

    resize: the shorter side to so many pixels, or (height, width), bilinear. interpolation: of that, on bytes and with
    the support that shrinking needs (`antialiased`, as of Pillow images), or between the four neighbours on floating
    numbers (`four-neighbours`, as torchvision resized tensors before 0.17). crop: the centre, so many pixels square.
    mean, std: of each channel, in units of white; one number each for grey images.
    """

    later: ClassVar[frozenset[str]] = frozenset({"interpolation"})

    resize: int | tuple[int, int] | None = None
    interpolation: Literal["antialiased", "four-neighbours"] = "antialiased"
    crop: int | None = Field(default=None, ge=1)
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _channels_agree(self) -> Preparation:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std {len(self.std)}")
        return self


class ReleasedSet(Spec):
    """Samples of a part of a data set, in that part's order.

    shuffle: permute the samples by `numpy.random.default_rng(shuffle).permutation` first. severity: of samples laid
    out as 15 corruptions in alphabetical order, for each five severities, for each the same number of images, those of
    one severity. rows: of what is then left, a half-open range; without an end, all that follow. count: how many samples
    the set has, which is checked and which plans reckon with. images: how they are prepared, where not as the
    experiment says.
    """

    id: Slug
    dataset: DataSetName
    part: Slug
    shuffle: int | None = None
    severity: int | None = Field(default=None, ge=1, le=SEVERITIES)
    rows: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=2)] | None = None
    count: int | None = Field(default=None, ge=1)
    images: Preparation | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> ReleasedSet:
        if self.shuffle is not None and self.severity is not None:
            raise ValueError(
                f"set {self.id}: samples in a random order have no layout in which `severity` could be read"
            )
        if self.rows is not None and len(self.rows) == 2 and self.rows[0] >= self.rows[1]:
            raise ValueError(f"set {self.id}: rows = {list(self.rows)} is empty; write [first, end] with first < end")
        return self


class ReleasedModel(GridModel):
    """A network whose checkpoint can be fetched."""

    network: Network
    checkpoint: Pattern


class ReleasedExperiment(TrainedNetworks):
    """Networks whose checkpoints are released.

    weights: id of the data set that holds the checkpoints. checkpoint: where they lie in it, with {family}, {dropout}
    (0 or 1), {run}, {reward} and {rate}, the learning rate, in place of the values; of several versions the highest
    number counts. image_size: the side of what the network takes, where its layers depend on it. open_set: each network
    was trained without the samples of some classes, which `data.kwargs.out_classes` names in `hydra/config.yaml` beside
    the folder of its checkpoint. `classes` counts these, too; methods see outputs without them.
    """

    later: ClassVar[frozenset[str]] = frozenset({*TrainedNetworks.later, "open_set"})

    classes: int = Field(ge=2)
    network: Network
    weights: DataSetName
    checkpoint: Pattern
    images: Preparation
    image_size: int | None = Field(default=None, ge=1)
    open_set: bool = False
    sets: Annotated[tuple[ReleasedSet, ...], Field(min_length=1)]

    @property
    def set_names(self) -> tuple[str, ...]:
        return tuple(each.id for each in self.sets)

    @model_validator(mode="after")
    def _agrees(self) -> ReleasedExperiment:
        check_experiment(self, self.checkpoint)
        return self

    def models(self) -> Iterator[ReleasedModel]:
        for grid in self.grids:
            for model, checkpoint in grid.expand(self.id, self.checkpoint):
                yield ReleasedModel(**dict(model), network=self.network, checkpoint=checkpoint)


class ReleasedSource(Spec):
    """Released checkpoints, run on images of data sets; both are fetched by their ids.

    members: sub-networks of Monte-Carlo dropout, for networks with dropout and methods that ask for members. precision:
    in which all outputs are kept.
    """

    kind: Literal["released"]
    experiments: Annotated[tuple[ReleasedExperiment, ...], Field(min_length=1)]
    members: int = Field(default=50, ge=0)
    members_seed: int = Field(default=0, ge=0)
    precision: Literal["float16", "float32"] = "float32"

    @cached_property
    def set_names(self) -> tuple[str, ...]:
        return tuple(name for experiment in self.experiments for name in experiment.set_names)

    @cached_property
    def models(self) -> tuple[ReleasedModel, ...]:
        return tuple(model for experiment in self.experiments for model in experiment.models())

    @property
    def datasets(self) -> tuple[str, ...]:
        """Ids of all data sets that it rests on: weights first."""
        weights = [experiment.weights for experiment in self.experiments]
        images = [each.dataset for experiment in self.experiments for each in experiment.sets]
        return tuple(dict.fromkeys([*weights, *images]))

    @property
    def locked(self) -> bool:
        """Whether what is in the files is pinned here: no, their hashes stand in the locks of the data sets."""
        return False

    def experiment(self, model: Model) -> ReleasedExperiment:
        """The experiment that a model belongs to."""
        return experiment_of(self.experiments, model)

    @model_validator(mode="after")
    def _reference_rows_are_not_tested(self) -> ReleasedSource:
        check_names(self)
        for experiment in self.experiments:
            for one in experiment.sets:
                for other in experiment.sets:
                    if one.id in experiment.reference.sets and other.id not in experiment.reference.sets:
                        _check_apart(one, other)
        return self


def _check_apart(one: ReleasedSet, other: ReleasedSet) -> None:
    """Raise ValueError for two ranges of the same samples that overlap. What parts share shows only in their files."""
    if (one.dataset, one.part, one.shuffle, one.severity) != (other.dataset, other.part, other.shuffle, other.severity):
        return
    (first, end), (begin, stop) = _range(one), _range(other)
    if max(first, begin) < min(end, stop):
        raise ValueError(f"the reference set {one.id} and the set {other.id} share samples: their rows overlap")


def _range(chosen: ReleasedSet) -> tuple[float, float]:
    rows = chosen.rows or (0,)
    return rows[0], rows[1] if len(rows) == 2 else float("inf")
