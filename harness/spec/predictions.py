"""Released predictions as a source: what classifiers said of the samples of many data sets, as probabilities in CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from harness.spec.base import Slug, Spec
from harness.spec.grids import NO_CHOICE, GridModel, ReferenceSets, check_names
from harness.spec.released import DataSetName

_DIVIDED = "{set}-{split}"  # how sets of samples are called


def _fields(*names: str) -> AfterValidator:
    """A text in which these names stand in braces, and nothing else does."""

    def check(text: str) -> str:
        try:
            text.format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError) as error:
            raise ValueError(f"{text!r} may use {', '.join(f'{{{name}}}' for name in names)} ({error})") from error
        return text

    return AfterValidator(check)


class PredictedModel(GridModel):
    """A classifier whose predictions were released; what its files are called."""

    files: str


class PredictedSet(Spec):
    """One data set, and all classifiers that were trained on it. All of them count; none is chosen."""

    id: Slug
    reference: ReferenceSets
    set_names: tuple[Slug, Slug]
    networks: tuple[PredictedModel, ...]
    default_family: Slug | None = None
    choice: Slug = NO_CHOICE

    def models(self) -> Iterator[PredictedModel]:
        yield from self.networks


class PredictionGrid(Spec):
    """Data sets on which the same kinds of classifier were trained, each in several runs.

    kinds: for each kind, a pattern as in a shell for what the files of a run are called after the `@`, with {run}; upper
    and lower case do not matter, and one file must fit.
    """

    sets: Annotated[tuple[Slug, ...], Field(min_length=1)]
    kinds: Annotated[dict[Slug, Annotated[str, _fields("run")]], Field(min_length=1)]
    runs: Annotated[tuple[int, ...], Field(min_length=1)]


class PredictionSource(Spec):
    """CSV files of probabilities in a data set of released artefacts, as MedMNIST's evaluator writes them.

    files: pattern of their names, with {set}, {split} and {run}, which stands for what `kinds` say. labels: path of the
    `.npy` file of whole numbers (n,) or (n, 1) that belongs to a split, with {set} and {split}. validation: the split that
    methods may learn from; test: the split that they are asked about. Their sets are called <set>-<split>.
    """

    kind: Literal["predictions"]
    dataset: DataSetName
    files: Annotated[str, _fields("set", "split", "run")] = "{set}_{split}_*@{run}.csv"
    labels: Annotated[str, _fields("set", "split")] = "labels/{set}/{split}_labels.npy"
    validation: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+$")] = "val"
    test: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+$")] = "test"
    grids: Annotated[tuple[PredictionGrid, ...], Field(min_length=1)]

    @cached_property
    def experiments(self) -> tuple[PredictedSet, ...]:
        return tuple(self._predicted(name, grid) for grid in self.grids for name in grid.sets)

    @cached_property
    def set_names(self) -> tuple[str, ...]:
        return tuple(name for each in self.experiments for name in each.set_names)

    @cached_property
    def models(self) -> tuple[PredictedModel, ...]:
        return tuple(model for each in self.experiments for model in each.models())

    @property
    def datasets(self) -> tuple[str, ...]:
        return (self.dataset,)

    @property
    def locked(self) -> bool:
        """Whether what is in the files is pinned here: no, their hashes stand in the lock of the data set."""
        return False

    def split_of(self, name: str) -> str:
        """The split that a set of samples is."""
        return name.rpartition("-")[2]

    @model_validator(mode="after")
    def _names_are_unique(self) -> PredictionSource:
        if self.validation == self.test:
            raise ValueError("`validation` and `test` are two splits")
        check_names(self)
        return self

    def _predicted(self, name: str, grid: PredictionGrid) -> PredictedSet:
        validation, test = (_DIVIDED.format(set=name, split=split) for split in (self.validation, self.test))
        networks = [
            PredictedModel(
                id=f"{name}-{kind}-run{run}",
                seed=run,
                experiment=name,
                dropout=False,
                configuration=kind,
                reward=0.0,
                files=pattern.format(run=run),
            )
            for kind, pattern in grid.kinds.items()
            for run in grid.runs
        ]
        reference = ReferenceSets(validation=validation)
        return PredictedSet(id=name, reference=reference, set_names=(validation, test), networks=tuple(networks))
