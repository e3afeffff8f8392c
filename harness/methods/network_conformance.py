"""Checks that XAI methods and metrics of their maps share: small random networks, one of each kind that is declared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import Check, until_failure
from harness.spec.method import Architecture, AttributionMethod, AttributionMetricMethod, Modality

if TYPE_CHECKING:
    import numpy as np

SAMPLES, CLASSES, SEED = 6, 10, 7
SHAPES: dict[Modality, tuple[int, ...]] = {"image": (1, 28, 28), "volume": (1, 16, 16, 16), "point-cloud": (3, 256)}
FAMILIES: dict[tuple[Modality, Architecture], str] = {
    ("image", "cnn"): "cnn",
    ("image", "transformer"): "vit",
    ("volume", "cnn"): "cnn3d",
    ("volume", "transformer"): "vit3d",
    ("point-cloud", "cnn"): "pointnet",
    ("point-cloud", "transformer"): "point-transformer",
}


class NetworkTask(ABC):
    """Random inputs of one modality and a random network of one architecture, and how a method is asked about them."""

    def __init__(self, method: MethodClient, modality: Modality, architecture: Architecture) -> None:
        import numpy as np

        self.name = f"{modality}s, {architecture}"
        self._method = method
        self._family = FAMILIES[modality, architecture]
        self._rng = np.random.default_rng(0)
        self._inputs = self._rng.uniform(size=(SAMPLES, *SHAPES[modality])).astype(np.float32)
        self._targets = self._rng.integers(CLASSES, size=SAMPLES)
        self._answer: np.ndarray = np.zeros(SAMPLES, dtype=np.float32)
        self._failure: MethodError | None = None

    def missing(self) -> str:
        """What the method asks for that this network does not offer. Asks for the first answer."""
        try:
            self._answer = self._ask(range(SAMPLES))
        except MethodError as error:
            self._failure = error
            return error.reason if error.status == "not-applicable" else ""
        return ""

    def answers(self) -> str:
        """Raises MethodError where the first answer was none."""
        if self._failure is not None:
            raise self._failure
        return ""

    def repeats(self) -> str:
        advice = "take randomness from context.generator, torch, numpy or random only"
        return self._compare(self._ask(range(SAMPLES)), 0.0, "the second answer under the same seed", advice)

    def _one_by_one(self, tolerance: float, what: str, advice: str) -> str:
        """Ask for one sample at a time, the last one first."""
        import numpy as np

        backwards = [self._ask([place]) for place in range(SAMPLES)[::-1]]
        return self._compare(np.concatenate(backwards[::-1]), tolerance, what, advice)

    def _call(self, verb: str, arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        """Ask the method after it was given the network."""
        if self._method.state != self.name:
            meta: dict[str, Any] = {"network": {"family": self._family, "classes": CLASSES}}
            self._method.call("fit", {"background": self._inputs}, seed=1, meta=meta)
            self._method.state = self.name
        return self._method.call(verb, arrays, seed=seed)

    def _compare(self, answer: np.ndarray, tolerance: float, what: str, advice: str) -> str:
        differs = self._differing(answer, tolerance)
        return f"{self.name}: {what} differs for {differs} of {SAMPLES} maps; {advice}" if differs else ""

    @abstractmethod
    def _ask(self, places: Sequence[int], seed: int = SEED) -> np.ndarray:
        """The method's answer for these samples, one entry each."""

    @abstractmethod
    def _differing(self, answer: np.ndarray, tolerance: float) -> int:
        """For how many samples an answer differs from the first one by more than the tolerance."""


Task = TypeVar("Task", bound=NetworkTask)


def check_on_networks(
    method: MethodClient,
    make: Callable[[MethodClient, Modality, Architecture], Task],
    title: str,
    over_all: Mapping[str, Callable[[Sequence[Task]], str]],
) -> Iterator[Check]:
    """Check a method on every modality and architecture that it declares, then on all of them together.

    title: of the check on one network, with {name} for what the network is. over_all: what is asked of all networks
    together to which the method applies; each returns its problem, or nothing. The first failed check is the last.
    """
    spec = method.spec
    assert isinstance(spec, AttributionMethod | AttributionMetricMethod)
    tasks: list[Task] = []
    for modality in spec.modalities:
        for architecture in spec.architectures:
            task = make(method, modality, architecture)
            if missing := task.missing():
                yield Check(f"does not apply to {task.name} ({missing})")
                continue
            check = next(until_failure({title.format(name=task.name): task.answers}))
            yield check
            if not check.passed:
                return
            tasks.append(task)
    if not tasks:
        yield Check("applies to a network that it is declared for", "none of them offers what it asks for", "invalid")
        return
    yield from until_failure({name: partial(ask, tasks) for name, ask in over_all.items()})


def on_each(ask: Callable[[Task], str]) -> Callable[[Sequence[Task]], str]:
    """Ask each network in turn; the first problem counts."""
    return lambda tasks: next(filter(None, map(ask, tasks)), "")
