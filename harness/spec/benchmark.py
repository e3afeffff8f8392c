"""Benchmarks: protocols as data. A released version is never edited."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.spec.artefact import Artefact
from harness.spec.base import Document, Slug, Spec
from harness.spec.grids import (
    NO_CHOICE,
    OWN_CHOICE,
    GridExperiment,
    GridModel,
    GridSource,
    Model,
    ReferenceSets,
    experiment_of,
)
from harness.spec.sources import Source
from harness.spec.submission import Tier

StudyKind = Literal["iid", "covariate-shift", "domain-shift", "new-class", "open-set", "selection"]


class Study(Spec):
    """One question asked of a method: which samples, and what counts as a failure.

    `samples` are scored by the correctness of the predicted class. In a `new-class` study the
    samples in `unknown` belong to no class of the model: each of them is a failure, and
    misclassified members of `samples` are left out (the *proposed mode* of FD-Shifts), so that
    only the new class is to be detected. In an `open-set` study these are the samples of classes that
    the network was not trained on, which differ from network to network. A `selection` study is no question but a choice: for each
    method, the configuration of an experiment with the best primary metric on these samples is the
    one that the other studies count. It may be the validation set that methods learn from.
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


class Bootstrap(Spec):
    """Resampling of test samples and of training seeds, shared by all methods of a benchmark."""

    replicates: int = Field(default=500, ge=20, le=10_000)
    seed: int = Field(default=0, ge=0)


class Benchmark(Document):
    """What every benchmark has, whatever its kind: a header, and studies with bootstrapped scores.

    A kind adds `source` and `studies`; each study has an `id` and a `group`.
    """

    task: str
    id: Slug
    version: int = Field(ge=1)
    title: str
    description: str = ""
    licence: str = ""
    citation: tuple[str, ...] = ()
    status: Literal["open", "deprecated", "withdrawn"] = "open"
    successor: str | None = None
    reason: str = Field(default="", exclude=True, description="why it is withdrawn; no part of the benchmark's hash")
    ranks_from: Tier | None = Field(
        default=None,
        exclude=True,
        description="the tier from which on rows have ranks, where it is not the one that follows from its files "
        "(`ranked_tier`): recomputed, where a CI machine cannot run its methods again; no part of the benchmark's hash",
    )
    source: Any
    studies: Annotated[tuple[Any, ...], Field(min_length=1)]
    bootstrap: Bootstrap = Bootstrap()

    @property
    def compared(self) -> tuple[Any, ...]:
        """The studies that methods are compared in."""
        return self.studies

    @property
    def pool(self) -> tuple[str, ...]:
        """The methods that set the scale for all; none where every method's scores stand alone."""
        return ()

    @property
    def ended(self) -> str:
        """That it takes no new rows, why, and what to use instead; empty for an open one."""
        if self.status == "open":
            return ""
        because = f", because {self.reason.rstrip('.')}" if self.reason else ""
        return f"{self.name} is {self.status}{because}" + (f"; use {self.successor} instead" if self.successor else "")

    @property
    def locked(self) -> bool:
        """Whether every file that scores rest on is pinned by its sha256."""
        return bool(self.source.locked)

    @property
    def ranked_tier(self) -> Tier:
        """The tier from which on rows have ranks: reproduced where every file is pinned, so that anybody can run a method
        again, unless `ranks_from` says otherwise."""
        return self.ranks_from or ("reproduced" if self.locked else "recomputed")

    @property
    def name(self) -> str:
        """`id@version`, as users write it."""
        return f"{self.id}@{self.version}"


class ConfidenceBenchmark(Benchmark):
    """Failure detection under shift: how well does a score tell a model's failures from its successes?"""

    task: Literal["confidence"]
    source: Source
    studies: Annotated[tuple[Study, ...], Field(min_length=1)]
    reference: ReferenceSets = ReferenceSets()
    default_family: Slug = Field(default="default", description="the models that methods without a head are run on")
    primary: str = "augrc"
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    outcomes: Artefact | None = Field(
        default=None,
        description="pinned labels and predictions, so that a score is the same on every machine",
    )

    @property
    def compared(self) -> tuple[Study, ...]:
        """The studies that methods are compared in: all but those of kind selection."""
        return tuple(study for study in self.studies if study.kind != "selection")

    def studies_of(self, model: Model) -> tuple[Study, ...]:
        """The studies that a model is asked: all, or those on the sets of its own experiment."""
        return self._own_studies[model.experiment] if isinstance(model, GridModel) else self.studies

    @cached_property
    def _experiments(self) -> tuple[GridExperiment, ...]:
        return tuple(self.source.experiments) if isinstance(self.source, GridSource) else ()

    @cached_property
    def _own_studies(self) -> dict[str, tuple[Study, ...]]:
        """Of each experiment."""
        names = {each.id: set(each.set_names) for each in self._experiments}
        return {name: tuple(each for each in self.studies if own.issuperset(each.sets)) for name, own in names.items()}

    def runs_by_default(self, model: Model) -> bool:
        """Whether methods without a head are run on the model."""
        own = experiment_of(self._experiments, model).default_family if isinstance(model, GridModel) else None
        return model.family == (own or self.default_family)

    def reference_of(self, model: Model) -> ReferenceSets:
        """What a method may learn from before it is asked about a model."""
        return (
            experiment_of(self.source.experiments, model).reference
            if isinstance(self.source, GridSource)
            else self.reference
        )

    @model_validator(mode="after")
    def _names_agree(self) -> ConfidenceBenchmark:
        known = set(self.source.set_names)
        for study in self.studies:
            for name in study.sets:
                require(name in known, f"study {study.id} uses the sample set {name!r}", known)
        for part in (self.reference.train, self.reference.validation):
            require(part is None or part in known, f"reference uses the sample set {part!r}", known)
        if self.primary not in self.metrics:
            raise ValueError(
                f"the primary metric {self.primary!r} is not in `metrics`; add it, or make one of them `primary`"
            )
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

    @model_validator(mode="after")
    def _tests_are_not_learnt_from(self) -> ConfidenceBenchmark:
        references = [self.reference]
        if isinstance(self.source, GridSource):
            references += [each.reference for each in self.source.experiments]
        learnt = {name for reference in references for name in reference.sets}
        overlap = {name for study in self.compared for name in study.sets} & learnt
        if overlap:
            raise ValueError(f"{', '.join(map(repr, sorted(overlap)))} is both reference and test set")
        return self

    @model_validator(mode="after")
    def _studies_belong_to_an_experiment(self) -> ConfidenceBenchmark:
        """Those on models of grids do; and where there is something to choose, something chooses."""
        selecting = [study for study in self.studies if study.kind == "selection"]
        if not isinstance(self.source, GridSource):
            if selecting:
                raise ValueError(f"study {selecting[0].id}: only models of grids have configurations to choose from")
            return self
        if self.reference.sets:
            raise ValueError("each experiment has a reference of its own; the benchmark has none")
        for study in self.studies:
            if not any(set(each.set_names) >= set(study.sets) for each in self.source.experiments):
                raise ValueError(f"study {study.id} mixes sets of several experiments")
        for experiment in self.source.experiments:
            choices = sum(study.samples in experiment.set_names for study in selecting)
            configurations = {(each.family, each.configuration) for each in experiment.models()}
            several = len(configurations) > len({family for family, _ in configurations})
            if choices != (several and experiment.choice == OWN_CHOICE):
                raise ValueError(
                    f"experiment {experiment.id} has {choices} selection studies; it needs one where a family has "
                    f'several configurations and its choice is "{OWN_CHOICE}", else none'
                )
            own, families = experiment.default_family, {family for family, _ in configurations}
            require(own in (None, *families), f"experiment {experiment.id}: default_family is {own!r}", families)
        return self

    @model_validator(mode="after")
    def _choices_are_made(self) -> ConfidenceBenchmark:
        """An experiment that takes over a choice names one that makes it, between the same dropouts and rewards."""
        if not isinstance(self.source, GridSource):
            return self
        made = {each.id: each for each in self.source.experiments if each.choice == OWN_CHOICE}
        for experiment in self.source.experiments:
            if experiment.choice in (OWN_CHOICE, NO_CHOICE):
                continue
            taken = f"experiment {experiment.id} takes the choice of {experiment.choice!r}"
            require(experiment.choice in made, taken, set(made))
            offered = {(each.family, each.dropout, each.reward) for each in made[experiment.choice].models()}
            for model in experiment.models():
                if (model.family, model.dropout, model.reward) not in offered:
                    raise ValueError(
                        f"{taken}, which has no {model.family} of dropout {model.dropout:d}, reward {model.reward:g}"
                    )
        return self

    @model_validator(mode="after")
    def _open_sets_are_of_such_networks(self) -> ConfidenceBenchmark:
        """Studies of kind open-set, and only they, are asked of networks that were trained without some classes."""
        open_sets = {
            each.id
            for experiment in getattr(self.source, "experiments", ())
            if getattr(experiment, "open_set", False)
            for each in experiment.sets
        }
        for study in self.studies:
            if (study.kind == "open-set") != (study.samples in open_sets):
                raise ValueError(
                    f"study {study.id}: kind open-set belongs to experiments with `open_set = true`, and only to them"
                )
        return self


def require(condition: bool, claim: str, known: set[str]) -> None:
    """Raise a ValueError that names what is known."""
    if not condition:
        raise ValueError(f"{claim}, but only these are defined: {', '.join(sorted(known))}")


def unique(names: list[str], what: str) -> None:
    """Raise a ValueError for a name that is there twice."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{what} {', '.join(twice)} is defined more than once")
