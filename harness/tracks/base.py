"""The first of the three seams: what a kind of method says, and all that the harness makes of it.

A kind writes four things: what its units rest on (`planned`), how a method is asked (`ask`), what stored answers are worth
(`measure`), and which metrics it has (`metric_versions`). Everything else of `Track` has a default. Records, summaries,
board columns, comparisons and exports are computed from measurements by `harness.tracks.summary` and
`harness.tracks.leaderboard`, the same way for all kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.data.catalog import LoadedBenchmark
from harness.methods.client import MethodError
from harness.spec.method import DeclaredMethod
from harness.spec.run import RunSpec, Unit
from harness.storage import IntegrityError, content_id

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.client import MethodClient
    from harness.spec.result import Passes
    from harness.tracks.costs import Estimate
    from harness.tracks.views import SampleList, Shown, View

Answers = Mapping[str, "np.ndarray"]
"""What a method answered in one unit, as stored: named arrays."""
Verb = Callable[[dict[str, Any], dict[str, "np.ndarray"]], dict[str, "np.ndarray"]]
"""What a worker does when it is asked: details and arrays in, arrays out."""


class Host(Protocol):
    """Holds a user's method in the method worker, and knows what it can be asked. Made of the decorated object and a device."""

    @property
    def verbs(self) -> Mapping[str, Verb]: ...

    def passes(self) -> Passes | None:
        """What the method passed through networks since this was last asked; None where it is given none."""
        ...


def _no_report(what: str, share: float) -> None:
    """Progress is not reported."""


@dataclass(frozen=True)
class Workspace:
    """Where a long unit works. `folder` keeps what is done so far, so that a kill costs little; `report` takes what
    is being done and the share of the unit that is done, in [0, 1]. `kept` outlives the unit: for what pages show and no
    number rests on, such as predicted segmentations."""

    folder: Path
    report: Callable[[str, float], None] = _no_report
    kept: Path | None = None


@dataclass(frozen=True)
class PlannedUnit:
    """What a unit is about: a study, a trained model (or training) with its seed, and all files its numbers rest on."""

    study: str
    model: str
    seed: int
    artefacts: Any


@dataclass(frozen=True)
class Score:
    """One metric of one unit.

    draws (1 + replicates,): the value, then that of each bootstrap resample; resamples are shared by all methods. A fact
    without uncertainty has the value alone. NaN at first means undefined. n: samples that it rests on.
    """

    draws: np.ndarray
    n: int

    @property
    def value(self) -> float | None:
        """None where it is undefined."""
        value = float(self.draws[0])
        return value if value == value and abs(value) != float("inf") else None

    @property
    def standard_error(self) -> float:
        """Standard deviation over the resamples that have a value; 0 where there are fewer than two."""
        import numpy as np

        resamples = self.draws[1:][np.isfinite(self.draws[1:])]
        return float(resamples.std(ddof=1)) if len(resamples) > 1 else 0.0


@dataclass(frozen=True)
class Measurement:
    """What the stored answers of one unit are worth: scores by metric, in the order of tables.

    arrays: what scores over several units rest on beside the scores themselves (such as values per sample or per loop).
    """

    scores: Mapping[str, Score]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """What a row of a run's table is over: a study, or a group of studies that are averaged.

    units: those that count and are measured; planned: how many there have to be. part_of: the scope that this one is
    averaged into, where that is a row of its own.
    """

    name: str
    metrics: tuple[str, ...]
    units: tuple[Unit, ...]
    planned: int
    part_of: str | None = None


@dataclass(frozen=True)
class Tolerance:
    """How far an output may differ when a method runs again on another machine.

    `relative` is the largest difference of a floating-point number, as a share of its magnitude: the larger of the two
    in a sample's part of the array, and at least the median of these (`harness.tracks.repetition.magnitudes`); `reason` says in a few words where such differences come from. Integers must be equal whatever it says.
    forks: share of the values of an array that may differ by more, as long as the mean and the median of all do not:
    where samples are scored one by one, and the order of nearly equal numbers decides a score.
    """

    relative: float
    reason: str
    forks: float = 0.0


@dataclass(frozen=True)
class Workload:
    """What units cost before they are run, for plans.

    trainings: how many networks they train; 0 where methods are asked about networks that are there. uncomputed: pieces
    of work to be done before they can start. absent: files that the protocol names and that are not on this machine.
    """

    trainings: int = 0
    uncomputed: int = 0
    absent: tuple[str, ...] = ()


class Track(ABC):
    """One benchmark and one method of its kind. Subclasses narrow `benchmark` and `method`.

    shuffle: a number from which the order follows in which things are asked; no honest method's numbers depend on it, so a
    reproduction takes another.

    `ask` may talk to the method through its client as often as it likes; `measure` sees only what was stored, so that
    runs, boards and the submission gate compute the same numbers.
    """

    def __init__(
        self, protocol: LoadedBenchmark, method: DeclaredMethod, device: str = "cpu", shuffle: int = 0
    ) -> None:
        self.protocol = protocol
        self.benchmark: Any = protocol.benchmark
        self.method: Any = method
        self.device = device
        self.shuffle = shuffle

    @abstractmethod
    def metric_versions(self) -> dict[str, str]:
        """Every metric of the protocol by id, with the version of its code. Raises UsageError for one that is not known
        or cannot be used."""

    @abstractmethod
    def planned(self) -> Iterable[PlannedUnit]:
        """What all units of a complete run are about, in the order in which results list them."""

    @abstractmethod
    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        """Exercise the method. Raises MethodError. Without a workspace, nothing outlives a kill."""

    @abstractmethod
    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        """The unit's metrics, or those named, from stored outputs alone; of what a submission carries, all that follow.

        Raises IntegrityError for outputs that are not those of this unit.
        """

    def scopes(self, measured: Mapping[Unit, Measurement], inapplicable: Collection[Unit] = ()) -> Iterator[Scope]:
        """Rows of a run's table: every study, each after the first mention of its group."""
        metrics, sizes = tuple(self.metric_versions()), Counter(unit.study for unit in self.planned())
        for name, studies in self.groups().items():
            units = tuple(unit for unit in measured if unit.study in studies)
            yield Scope(name, metrics, units, sum(sizes[study] for study in studies), self.part_of(name))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group or study -> its studies, each study after the first mention of its group."""
        compared = self.benchmark.compared
        names = dict.fromkeys(name for study in compared for name in (study.group, study.id))
        return {name: tuple(study.id for study in compared if name in (study.id, study.group)) for name in names}

    def part_of(self, name: str) -> str | None:
        """The group that a study is averaged into, where that is a row of its own."""
        return next((study.group for study in self.benchmark.compared if study.id == name != study.group), None)

    def pooled(self, metric: str, members: Mapping[Unit, Measurement]) -> np.ndarray | None:
        """One metric over the units of a complete scope, as `Score.draws`; None where it is not measured there.

        By default the mean over seeds, which each replicate draws anew, and then over studies.
        """
        from harness.tracks.pooling import mean_over_seeds

        return mean_over_seeds(metric, members, self.benchmark.bootstrap.seed)

    def repeat(self, unit: Unit) -> object:
        """What a unit repeats its study with: units that have it in common count once as a seed."""
        return unit.model

    def carried(self, name: str) -> bool:
        """Whether a submission carries the output of this name, beside its hash."""
        return True

    def said(self, name: str) -> bool:
        """Whether the output of this name shows what the method said, not only what followed from it: what copies share."""
        return True

    def tolerance(self, name: str) -> Tolerance:
        """How far the output of this name may differ when the method, as it declares itself, runs again."""
        return Tolerance(1e-4, "single precision")

    def as_reported(self, unit: Unit, submitted: Answers) -> tuple[str, ...]:
        """Metrics of the unit that rest on numbers which only another run of the method can check. Reads no data."""
        return ()

    def problems(self, unit: Unit, submitted: Answers) -> Iterator[str]:
        """Sentences about answers that no honest run gives."""
        return iter(())

    def unasked(self) -> str:
        """Which studies the method is not asked at all, and why, in a sentence; empty where it is asked all."""
        return ""

    def inapplicable(self, unit: Unit) -> str:
        """Why the method, as it declares itself, cannot be applied in a unit; empty where nothing speaks against it."""
        return ""

    def rehearse(
        self, units: Sequence[Unit], method: Callable[[], AbstractContextManager[MethodClient]]
    ) -> dict[Unit, str]:
        """The units in which the method turns out not to be applicable, and why, when it is tried with made-up numbers
        on what they offer. Nothing is read and no unit is run; `method` starts it, if there is anything to be tried."""
        return {}

    def require_packages(self) -> None:
        """Raise UsageError that names the extra to install, where a package is missing without which no unit can run."""
        return

    def slow_imports(self) -> tuple[str, ...]:
        """Modules that every unit needs and that take long: a process imports them while the method's own starts."""
        return ()

    def warm_up(self) -> None:
        """Read what every unit rests on and that is kept, while the method's own process starts. Raises as `ask`."""
        return

    def imports_to_show(self) -> tuple[str, ...]:
        """Modules that places and pages of runs need and that take long: the command imports them while units are run."""
        return ()

    def check_own_files(self) -> None:
        """Read files of the user's own that every unit rests on, where that is quick: before anything is run, made or
        said of the method. Raises UsageError or IntegrityError with what to mend."""
        return

    def notes(self, answers: Mapping[Unit, Answers]) -> Iterator[str]:
        """Sentences about a run's answers that are allowed and yet hardly what was meant."""
        return iter(())

    def workload(self, units: Sequence[Unit]) -> Workload:
        """What the units cost before they are run."""
        return Workload()

    def estimate(self, units: Sequence[Unit]) -> Estimate | None:
        """Hours of a graphics card; None for benchmarks that are small enough for a laptop."""
        return None

    def memory(self, unit: Unit) -> float | None:
        """GiB that the processes of a unit need together, where that is known: never more units run at once than fit."""
        return None

    def views(self, shown: Shown) -> Iterator[View]:
        """What a page shows of a run beside its scores, in this order."""
        return iter(())

    def listing(self, answers: Mapping[Unit, Answers], kept: Callable[[Unit], Path]) -> SampleList | None:
        """The samples of a run to look at one by one; None where the kind has none to show. kept: see `Workspace`."""
        return None

    def units(self, spec: RunSpec) -> Iterator[Unit]:
        """All units of a run."""
        method = content_id(spec.method.model_dump(mode="json", exclude={"target", "summary", "citation"}))
        metrics = content_id(spec.metric_versions)
        artefacts, artefacts_hash = object(), ""
        for unit in self.planned():
            if unit.artefacts is not artefacts:  # those that follow one another often share theirs
                artefacts, artefacts_hash = unit.artefacts, content_id(unit.artefacts)
            yield Unit(
                task=spec.task,
                benchmark_hash=spec.benchmark_hash,
                method_hash=method,
                model=unit.model,
                model_seed=unit.seed,
                artefacts_hash=artefacts_hash,
                study=unit.study,
                seed=spec.seed,
                device=spec.device,
                limit=spec.limit,
                metrics_hash=metrics,
            )

    def submitted(self, outputs: Answers) -> Answers:
        """The part of a unit's outputs that a submission carries and boards are computed from."""
        return {name: array for name, array in outputs.items() if self.carried(name)}

    def study(self, name: str) -> Any:
        return next(study for study in self.benchmark.studies if study.id == name)


def check_unchanged(unit: Unit, artefacts: Any) -> None:
    """Raises IntegrityError if the files that a unit rests on are not those that it was planned with."""
    if content_id(artefacts) != unit.artefacts_hash:
        raise IntegrityError(f"the files of {unit.label} were changed after the run was planned; start it again.")


def undeclared(declared: Iterable[str], kind: str) -> str:
    """Why a method is not made for a kind of task, modality or architecture; empty where it is."""
    known = tuple(declared)
    return "" if kind in known else f"it is declared for {', '.join(known)}, not for {kind}"


def check_applies(reason: str) -> None:
    """Raises MethodError where there is a reason against a method."""
    if reason:
        raise MethodError("not-applicable", reason)


def spread(count: int, limit: int | None) -> np.ndarray:
    """All positions of `count` samples, or `limit` of them spread evenly, so that every class has its share."""
    import numpy as np

    if limit is None or limit >= count:
        return np.arange(count)
    return (np.arange(limit) * count) // limit
