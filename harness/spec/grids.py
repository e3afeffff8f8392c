"""Many networks in few lines: what a study trained on one data set, with all heads, dropouts, rewards and runs.

A study of failure detection trains the same few networks many times. An experiment holds what one training set has in
common, and its `Grid`s expand to the models. The kinds of source that are made of grids say where a model is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated, ClassVar, Protocol, TypeVar, runtime_checkable

from pydantic import AfterValidator, Field

from harness.spec.base import Grown, Slug, Spec


def _inside(path: str) -> str:
    if not path or path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        raise ValueError("must be a relative path that stays inside its folder")
    return path


Pattern = Annotated[str, AfterValidator(_inside)]
"""A relative path in a data set; `*` stands for any text within a folder's name."""


OWN_CHOICE, NO_CHOICE = "own", "none"


class Model(Spec):
    """One trained classifier of a benchmark."""

    id: Slug
    family: Slug = "default"
    seed: int = 0
    head: Slug | None = Field(default=None, description="name of the confidence head it was trained with")


class ReferenceSets(Spec):
    """Labelled outputs that a method may learn from: never part of any study."""

    train: Slug | None = None
    validation: Slug | None = None

    @property
    def sets(self) -> tuple[str, ...]:
        return tuple(name for name in (self.train, self.validation) if name is not None)


class GridModel(Model):
    """One of the networks that a grid expands to.

    configuration: hyper-parameters between which a validation set chooses, named; `seed` is the number of the run.
    """

    experiment: Slug
    dropout: bool
    configuration: Slug
    reward: float
    learning_rate: float | None = None


class Grid(Grown):
    """Networks that differ in dropout, reward, learning rate and run: one model for each combination.

    Models are numbered `<experiment>-<family>-do<dropout>-rew<reward>-run<run>`, and all of one dropout and reward are
    one configuration, `do<dropout>-rew<reward>`; where learning rates are given, `-lr<rate>` follows the reward.
    Combinations that were not trained are left out by several grids of one family.
    """

    later: ClassVar[frozenset[str]] = frozenset({"learning_rates"})

    family: Slug
    head: Slug | None = None
    dropout: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, True)
    rewards: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    runs: Annotated[tuple[int, ...], Field(min_length=1)]

    def expand(self, experiment: str, pattern: str) -> Iterator[tuple[GridModel, str]]:
        """Each model with its path, in which {family}, {dropout} (0 or 1), {run}, {reward} and {rate} are filled in."""
        for dropout, reward, rate, run in product(
            self.dropout, self.rewards, self.learning_rates or (None,), self.runs
        ):
            configuration = f"do{dropout:d}-rew{reward:g}" + ("" if rate is None else f"-lr{rate:g}")
            model = GridModel(
                id=f"{experiment}-{self.family}-{configuration}-run{run}",
                family=self.family,
                seed=run,
                head=self.head,
                experiment=experiment,
                dropout=dropout,
                configuration=configuration,
                reward=reward,
                learning_rate=rate,
            )
            values = {"family": self.family, "dropout": int(dropout), "run": run, "reward": f"{reward:g}"}
            yield model, pattern.format(**values, rate="" if rate is None else f"{rate:g}")


class TrainedNetworks(Grown):
    """Networks that were trained on one data set, and the sets that methods may learn from before asked about them.

    default_family: the networks that methods without a head are run on, where not those that the benchmark names.
    choice: which configuration counts: that which a selection study of its own chooses (`own`), all of them
    (`none`), or that which another experiment's selection study chooses, whose id it is.
    """

    later: ClassVar[frozenset[str]] = frozenset({"default_family", "choice"})

    id: Slug
    reference: ReferenceSets = ReferenceSets()
    default_family: Slug | None = None
    choice: Slug = OWN_CHOICE
    grids: Annotated[tuple[Grid, ...], Field(min_length=1)]


class GridExperiment(Protocol):
    """What all networks that were trained on one data set share, and the sets that they are asked about."""

    @property
    def id(self) -> str: ...

    @property
    def reference(self) -> ReferenceSets: ...

    @property
    def default_family(self) -> str | None: ...

    @property
    def choice(self) -> str: ...

    @property
    def set_names(self) -> tuple[str, ...]: ...

    def models(self) -> Iterator[GridModel]:
        """Every network of every grid, in the order in which they are written."""
        ...


@runtime_checkable
class GridSource(Protocol):
    """A source whose models are grids: each study is asked of the models of one experiment only."""

    @property
    def experiments(self) -> Sequence[GridExperiment]: ...

    @property
    def set_names(self) -> tuple[str, ...]: ...


Experiment = TypeVar("Experiment", bound=GridExperiment)


def experiment_of(experiments: Sequence[Experiment], model: Model) -> Experiment:
    """The experiment that a model belongs to."""
    assert isinstance(model, GridModel)
    return next(each for each in experiments if each.id == model.experiment)


def check_experiment(experiment: GridExperiment, pattern: str) -> None:
    """Raise ValueError for a reference that is none of its own sets, and a path that no grid fills in."""
    if experiment.id in (OWN_CHOICE, NO_CHOICE):
        raise ValueError(f"experiment {experiment.id}: that is what `choice` calls something else; take another id")
    for name in experiment.reference.sets:
        if name not in experiment.set_names:
            raise ValueError(
                f"experiment {experiment.id}: reference uses the set {name!r}, which is not one of its own"
            )
    try:
        pattern.format(family="", dropout=0, run=0, reward="", rate="")
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"experiment {experiment.id}: its path may use {{family}}, {{dropout}}, {{run}}, {{reward}} and {{rate}} "
            f"({error})"
        ) from error


def check_names(source: GridSource) -> None:
    """Raise ValueError for an experiment or a set that is defined more than once."""
    for what, names in (("experiment", [each.id for each in source.experiments]), ("set", list(source.set_names))):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"{what} {', '.join(twice)} is defined more than once")
