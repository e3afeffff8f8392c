"""Where the model outputs of a confidence benchmark come from.

Several kinds, one meaning: for each model and each named set of samples there are logits (or
probabilities), labels, and whatever else that model offers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.spec.artefact import Artefact
from harness.spec.base import Grown, Slug, Spec
from harness.spec.grids import GridModel, Model, Pattern, TrainedNetworks, check_experiment, check_names
from harness.spec.predictions import PredictionSource
from harness.spec.released import DataSetName, ReleasedSource, Rows


class TrainedModel(Model):
    """A network whose weights the harness has, so that it can be run."""

    weights: Artefact


class FolderModel(Model):
    """An experiment folder in the FD-Shifts layout (or its `test_results` folder)."""

    folder: str


class TableModel(Model):
    """One file with a row for each sample: `.npz`, `.parquet` or `.csv`."""

    table: Artefact


EMBEDDED_IMAGES = ("mnist-5k", "optical-digits", "photos")
"""Images that packages bring along, as whole sets without parts."""


class ImageSet(Grown):
    """Grey images of 28x28 pixels: of a package's data or of a part of a data set, chosen by class and split, and
    corrupted or not.

    images: the name of what packages bring along, or of a data set, with its `part`. split: of these images, those
    whose positions the source's splits list under this name. With `severity`, the images are dealt in turn to the
    corruptions of the source, `per_corruption` different images to each, the same images at every severity. unknown:
    the images are of no class of the networks, whatever class their data set gives them. shuffle: the set is in the
    order that `numpy.random.default_rng(shuffle).permutation` gives, so that rows say nothing of classes or corruptions.
    """

    later: ClassVar[frozenset[str]] = frozenset({"part", "unknown", "shuffle"})

    id: Slug
    images: DataSetName
    part: Slug | None = None
    split: Slug | None = None
    classes: tuple[int, ...] | None = None
    count: int | None = Field(default=None, ge=1)
    severity: int | None = Field(default=None, ge=1, le=5)
    per_corruption: int | None = Field(default=None, ge=1)
    seed: int = 0
    unknown: bool = False
    shuffle: int | None = Field(default=None, ge=0)

    @property
    def embedded(self) -> bool:
        """Whether a package brings the images along, so that nothing needs to be fetched."""
        return self.part is None

    @model_validator(mode="after")
    def _images_are_known(self) -> ImageSet:
        if self.embedded and self.images not in EMBEDDED_IMAGES:
            raise ValueError(
                f"set {self.id}: images = {self.images!r} is none of {', '.join(EMBEDDED_IMAGES)}; "
                "if it is a data set, name the `part` of it"
            )
        return self


class ImageSource(Grown):
    """Images that travel in packages or are fetched, and small networks that travel with the harness.

    mean, std: of the images on which the networks were trained, in units of white; networks take (image - mean) / std.
    """

    later: ClassVar[frozenset[str]] = frozenset({"mean", "std"})

    kind: Literal["images"]
    classes: int = Field(ge=2)
    models: Annotated[tuple[TrainedModel, ...], Field(min_length=1)]
    sets: Annotated[tuple[ImageSet, ...], Field(min_length=1)]
    splits: Artefact
    mc_members: int = Field(default=25, ge=0)
    mc_seed: int = Field(default=0, ge=0)
    corruptions: dict[str, tuple[float, float, float, float, float]] = Field(
        default_factory=dict, description="strength at severities 1 to 5"
    )
    mean: float = 0.1307
    std: float = Field(default=0.3081, gt=0)

    @property
    def set_names(self) -> tuple[str, ...]:
        return tuple(each.id for each in self.sets)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Ids of all data sets that it rests on, or paths of a user's own."""
        return tuple(dict.fromkeys(each.images for each in self.sets if not each.embedded))

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash; of fetched data, the catalog's manifests pin them."""
        own = any(name.endswith(".toml") for name in self.datasets)
        return not own and all(each.sha256 for each in (self.splits, *(model.weights for model in self.models)))

    @model_validator(mode="after")
    def _severities_have_strengths(self) -> ImageSource:
        for each in self.sets:
            if (each.severity is None) != (each.per_corruption is None):
                raise ValueError(f"set {each.id}: `severity` and `per_corruption` go together")
            if each.severity is not None and not self.corruptions:
                raise ValueError(f"set {each.id} has a severity, but the source lists no corruptions")
        return self


class FDShiftsSet(Spec):
    """One dataset_idx, or one severity of a corruption study.

    With `severity`, the samples of that dataset_idx are read as FD-Shifts lays them out: 15 corruptions
    in alphabetical order, for each five severities, for each the same number of images. A bare number
    stands for its dataset_idx.
    """

    dataset_idx: int = Field(ge=0)
    severity: int | None = Field(default=None, ge=1, le=5)

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        return {"dataset_idx": value} if isinstance(value, int) else value


class FDShiftsSource(Spec):
    """Existing inference results in the FD-Shifts layout: nothing is trained or run."""

    kind: Literal["fd-shifts"]
    models: Annotated[tuple[FolderModel, ...], Field(min_length=1)]
    sets: dict[Slug, FDShiftsSet] = Field(min_length=1)
    train: Slug | None = Field(default=None, description="set name for `train_features.npz`, if it is to be used")

    @property
    def set_names(self) -> tuple[str, ...]:
        return (*self.sets, *((self.train,) if self.train else ()))

    @property
    def locked(self) -> bool:
        """The files of a folder are not pinned; each run records what it found."""
        return False


class GridFolder(GridModel):
    """An experiment folder of a study."""

    folder: str


class FolderExperiment(TrainedNetworks):
    """Experiment folders in the FD-Shifts layout, `folder` being their path with {family}, {dropout}, {run}, {reward}, {rate}."""

    folder: Pattern
    sets: dict[Slug, FDShiftsSet] = Field(min_length=1)

    @property
    def set_names(self) -> tuple[str, ...]:
        return tuple(self.sets)

    @model_validator(mode="after")
    def _agrees(self) -> FolderExperiment:
        check_experiment(self, self.folder)
        return self

    def models(self) -> Iterator[GridFolder]:
        for grid in self.grids:
            for model, folder in grid.expand(self.id, self.folder):
                yield GridFolder(**model.canonical(), folder=folder)


class FDShiftsStudy(Spec):
    """Inference results of a whole study in the FD-Shifts layout: several training sets, many networks of each.

    datasets: ids of the data sets that whoever makes the results needs, for plans.
    """

    kind: Literal["fd-shifts-study"]
    datasets: tuple[DataSetName, ...] = ()
    experiments: Annotated[tuple[FolderExperiment, ...], Field(min_length=1)]

    @cached_property
    def set_names(self) -> tuple[str, ...]:
        return tuple(name for experiment in self.experiments for name in experiment.set_names)

    @cached_property
    def models(self) -> tuple[GridFolder, ...]:
        return tuple(model for experiment in self.experiments for model in experiment.models())

    @cached_property
    def sets(self) -> dict[str, FDShiftsSet]:
        """The sets of all experiments, whose names differ."""
        return {name: chosen for experiment in self.experiments for name, chosen in experiment.sets.items()}

    @model_validator(mode="after")
    def _names_are_unique(self) -> FDShiftsStudy:
        check_names(self)
        return self

    @property
    def locked(self) -> bool:
        """The files of a folder are not pinned; each run records what it found."""
        return False


class TableSet(Spec):
    """Rows of a table: those whose set column has this name, a half-open range, or all."""

    named: str | None = None
    rows: Rows | Literal["all"] | None = None

    @field_validator("rows", mode="before")
    @classmethod
    def _range_or_all(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "all":
            raise ValueError(f'it must be [first, end] or "all", not {value!r}')
        return value

    @model_validator(mode="after")
    def _one_way(self) -> TableSet:
        if (self.named is None) == (self.rows is None):
            raise ValueError('a set of a table is either {named = "..."}, {rows = [first, end]} or {rows = "all"}')
        if isinstance(self.rows, tuple) and self.rows[0] >= self.rows[1]:
            raise ValueError(f"rows = {list(self.rows)} is empty; write [first, end] with first < end")
        return self


class _Tables(Grown):
    """Files that a user has, one for each model, and which of their rows make a set."""

    later: ClassVar[frozenset[str]] = frozenset()

    models: Annotated[tuple[TableModel, ...], Field(min_length=1)]
    sets: dict[Slug, TableSet] = Field(min_length=1)

    @property
    def set_names(self) -> tuple[str, ...]:
        return tuple(self.sets)

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash."""
        return all(model.table.sha256 for model in self.models)


class TableSource(_Tables):
    """Plain tables: a matrix of logits or probabilities, labels, and whatever else the models said.

    Each field from `values` to `id_column` is the name of an array in an `.npz`, or of a column in a `.parquet` or `.csv`
    file. A matrix is an array (n, classes), a column of lists, or the common prefix of numbered columns (`logits_0`, ...);
    members of Monte-Carlo dropout are an array (members, n, classes), or a column of lists of lists (members, classes).
    set_column and id_column need not be there. With `head_confidence`, the tables of models with a `head` hold it, or
    those of all models where none has a `head`.
    """

    later: ClassVar[frozenset[str]] = frozenset(
        {"features", "mc_logits", "mc_probabilities", "head_confidence", "id_column"}
    )

    kind: Literal["table"]
    holds: Literal["logits", "probabilities"]
    values: str = Field(min_length=1)
    labels: str = "labels"
    features: str | None = Field(default=None, description="(n, f): inputs of the last layer")
    mc_logits: str | None = None
    mc_probabilities: str | None = None
    head_confidence: str | None = Field(default=None, description="(n,): higher = more confident")
    set_column: str = "set"
    id_column: str = Field(default="id", description="names of samples, by which tables of several models are checked")

    def arrays_of(self, model: Model) -> dict[str, str]:
        """What methods are given of a model -> what it is called in the table."""
        given = {
            self.holds: self.values,
            "features": self.features,
            "mc_logits": self.mc_logits,
            "mc_probabilities": self.mc_probabilities,
            "head_confidence": self.head_confidence if self._has_head(model) else None,
        }
        return {name: called for name, called in given.items() if called is not None}

    def _has_head(self, model: Model) -> bool:
        return model.head is not None or all(each.head is None for each in self.models)

    @model_validator(mode="after")
    def _members_are_of_one_kind(self) -> TableSource:
        if self.mc_logits is not None and self.mc_probabilities is not None:
            raise ValueError("mc_logits and mc_probabilities could disagree; name one of them")
        return self


class ResultsSource(_Tables):
    """Results that a user has: tables with the columns `label`, `prediction` and `confidence`, one row for each sample.

    Classes are numbered from 0; a higher confidence is more confident. The columns `set`, for sets by name, and `id`, by
    which tables of several models are checked, need not be there. classes: how many there are, if that is to be checked.
    """

    kind: Literal["results"]
    classes: int | None = Field(default=None, ge=2)


PACKED_OUTPUTS = "outputs"
"""The folder inside an inference pack that holds outputs and labels."""


class PackSource(Spec):
    """An inference pack (`harness data pack`): stored outputs, each file pinned by the hash of the pack's `pack.json`."""

    kind: Literal["pack"]
    pack: Artefact = Field(description="its pack.json; the other files lie beside it")
    dataset: Slug | None = Field(default=None, description="the data set that the pack is a part of, if it is fetched")
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    sets: Annotated[tuple[Slug, ...], Field(min_length=1)]

    @property
    def set_names(self) -> tuple[str, ...]:
        return self.sets

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash: `pack.json` holds those of all others."""
        return self.pack.sha256 is not None

    @property
    def folders(self) -> tuple[str, ...]:
        """The folder with labels: closed to methods, as those of fetched data sets always are."""
        return () if self.dataset else (str(PurePosixPath(self.pack.path).parent / PACKED_OUTPUTS),)


Source = Annotated[
    ImageSource
    | FDShiftsSource
    | FDShiftsStudy
    | TableSource
    | ResultsSource
    | PackSource
    | ReleasedSource
    | PredictionSource,
    Field(discriminator="kind"),
]
