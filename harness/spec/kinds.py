"""The kinds of methods that are installed: each is a folder and an entry point, the harness's own ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from inspect import signature
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError

if TYPE_CHECKING:
    from harness.spec.benchmark import Benchmark
    from harness.spec.method import DeclaredMethod

ENTRY_POINTS = "harness.kinds"
_UNUSABLE: dict[str, str] = {}
"""Task -> why the kind that is registered for it cannot be used."""


@dataclass(frozen=True)
class Kind:
    """One kind of method. Code is named as `module:name`, so that nothing heavy is loaded before it is needed.

    task: what benchmarks and methods of this kind name. method, benchmark: their models. decorator: what declares a
    method; its keyword arguments are what may be declared. verb: the method that a class must have, with its
    arguments. track: a subclass of `harness.tracks.base.Track`. leaderboard: one of
    `harness.tracks.leaderboard.Leaderboard`. host: `harness.tracks.base.Host`, answers in the method worker.
    check: the conformance suite, `(MethodClient) -> Iterator[Check]`. metrics: facts of metrics that no other kind has,
    a sequence of `harness.metrics.facts.MetricFacts`. default_benchmark: where none is named. simple_method: a baseline
    that stands for any method where none is named. caption: what the numbers of a run's table are. withheld: what a
    method is never given. unchecked: where an evaluation asks more than the check, and why; empty where it does not.
    """

    task: str
    method: type[DeclaredMethod]
    benchmark: type[Benchmark]
    decorator: Callable[..., Any]
    verb: str
    track: str
    leaderboard: str
    host: str
    check: str
    default_benchmark: str
    simple_method: str
    caption: str
    withheld: str
    metrics: str = ""
    unchecked: str = ""
    unit_seconds: float = 1.0
    """Rough time of one unit of the default benchmark on a laptop-class core, without the method's own."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What a method may declare."""
        return tuple(signature(self.decorator).parameters)

    @property
    def package(self) -> str:
        """The package that a method imports its decorator from."""
        return str(self.decorator.__module__).split(".")[0]


@cache
def kinds() -> Mapping[str, Kind]:
    """Every installed kind by its task; one that cannot be loaded hides no other. Raises UsageError for a task with two."""
    found: dict[str, Kind] = {}
    for point in dict.fromkeys(metadata.entry_points(group=ENTRY_POINTS)):
        try:
            kind = point.load()
        except Exception as error:  # whatever the package does when it is imported
            _UNUSABLE[point.name] = f"its package fails with {type(error).__name__}: {error}"
            continue
        if not isinstance(kind, Kind) or kind.task != point.name:
            _UNUSABLE[point.name] = f"{point.value} is no kind of that name"
            continue
        if found.setdefault(kind.task, kind) is not kind:
            raise UsageError(f"two installed packages bring the kind {kind.task!r}; uninstall one of them.")
    if not found:
        raise UsageError("no kind of method is installed; install the harness itself: pip install -e .")
    return dict(sorted(found.items()))  # packages list theirs in any order


def kind_of(task: object) -> Kind:
    """The kind of a task. Raises ValueError for one that is not installed."""
    known = kinds()
    if isinstance(task, str) and task in _UNUSABLE and task not in known:
        raise ValueError(f"the kind {task!r} cannot be used: {_UNUSABLE[task]}")
    there_are = f"there are: {', '.join(known)}"
    if not isinstance(task, str):
        raise ValueError(f"it {'is missing' if task is None else 'must be a text'}; {there_are}")
    if task not in known:
        raise ValueError(f"no kind of method is called {task!r}; {there_are}")
    return known[task]


def load(address: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)
