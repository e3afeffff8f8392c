"""Does a metric of attribution maps keep its contract? Found out on small random networks and random maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.methods.answers import check_varied, checked_scores
from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import Check, until_failure
from harness.methods.explainer_conformance import CLASSES, FAMILIES, SHAPES
from harness.spec.method import Architecture, MetricMethod, Modality

if TYPE_CHECKING:
    import numpy as np

SAMPLES = 6
_TOLERANCE = 1e-3  # of the spread of the scores: networks sum in another order in another batch


def check_attribution_metric(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    For every declared modality and architecture: the scores have shape (n,), are finite or NaN, and the model is left
    as it was; somewhere they are not all alike (a count of right decisions may tie on one small network); the same call
    gives the same scores; and, unless the metric declares itself stochastic, neither batch size nor order nor the other
    maps of a batch change a score.
    """
    assert isinstance(method.spec, MetricMethod)
    tasks = []
    for modality in method.spec.modalities:
        for architecture in method.spec.architectures:
            task = _Task(method, modality, architecture)
            missing = task.missing()
            if missing:
                yield from until_failure({f"does not apply to {task.name} ({missing})": lambda: ""})
                continue
            check = next(until_failure({f"scores maps of {task.name}: (n,), the model left as it was": task.answers}))
            yield check
            if not check.passed:
                return
            tasks.append(task)
    yield from until_failure(_over_all(tasks, method.spec))


def _over_all(tasks: list[_Task], spec: MetricMethod) -> dict[str, Callable[[], str]]:
    """What is asked of all tasks that apply together."""
    if not tasks:
        return {"applies to a network that it is declared for": lambda: "none of them offers what it asks for"}
    requirements = {} if spec.reference else {"tells maps apart": lambda: _all_alike(tasks)}
    requirements |= {"gives the same scores twice under one seed": lambda: _first(task.repeats() for task in tasks)}
    if not spec.stochastic:
        requirements["gives the same scores one by one and in another order"] = lambda: _first(
            task.ignores_batches() for task in tasks
        )
    return requirements


class _Task:
    """Random inputs of one modality with random maps, and a random network of one architecture."""

    def __init__(self, method: MethodClient, modality: Modality, architecture: Architecture) -> None:
        import numpy as np

        self.name = f"{modality}s, {architecture}"
        self._method = method
        self._family = FAMILIES[modality, architecture]
        rng = np.random.default_rng(0)
        self._inputs = rng.uniform(size=(SAMPLES, *SHAPES[modality])).astype(np.float32)
        self._targets = rng.integers(CLASSES, size=SAMPLES)
        self._maps = _random_maps((SAMPLES, 1, *SHAPES[modality][1:]), rng)
        self._scores: np.ndarray = np.zeros(SAMPLES, dtype=np.float32)
        self._failure: MethodError | None = None

    def missing(self) -> str:
        """What the metric asks for that this network does not offer."""
        try:
            self._scores = self._score(range(SAMPLES))
        except MethodError as error:
            self._failure = error
            return error.reason if error.status == "not-applicable" else ""
        return ""

    def answers(self) -> str:
        if self._failure is not None:
            raise self._failure
        return ""

    def alike(self) -> str:
        """Why its scores order nothing; empty if they do."""
        try:
            check_varied(self._scores)
        except MethodError as error:
            return error.reason
        return ""

    def repeats(self) -> str:
        advice = "take randomness from context.generator, torch, numpy or random only"
        return self._compare(self._score(range(SAMPLES)), 0.0, "the second answer under the same seed", advice)

    def ignores_batches(self) -> str:
        import numpy as np

        backwards = [self._score([place]) for place in range(SAMPLES)[::-1]]
        advice = "score each map by itself, or declare stochastic=True if it draws numbers for whole batches"
        return self._compare(np.concatenate(backwards[::-1]), _TOLERANCE, "the answer for one map at a time", advice)

    def _score(self, places: range | list[int]) -> np.ndarray:
        rows = list(places)
        if self._method.state != self.name:
            meta: dict[str, Any] = {"network": {"family": self._family, "classes": CLASSES}}
            self._method.call("fit", {"background": self._inputs}, seed=1, meta=meta)
            self._method.state = self.name
        given: dict[str, np.ndarray] = {
            "inputs": self._inputs[rows],
            "targets": self._targets[rows],
            "maps": self._maps[rows],
        }
        return checked_scores(self._method.call("score", given, seed=7), len(rows))

    def _compare(self, scores: np.ndarray, tolerance: float, what: str, advice: str) -> str:
        import numpy as np

        spread = float(np.ptp(self._scores[np.isfinite(self._scores)]))
        same = np.isclose(scores, self._scores, rtol=0.0, atol=tolerance * spread, equal_nan=True)
        differs = int(np.count_nonzero(~same))
        return f"{self.name}: {what} differs for {differs} of {SAMPLES} maps; {advice}" if differs else ""


def _random_maps(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Maps with a largest |value| of 1, from broad to concentrated: plain noise would be much alike to any metric."""
    import numpy as np

    noise = rng.uniform(-1.0, 1.0, size=shape)
    powers = 1.0 + np.arange(len(noise)).reshape(-1, *[1] * (noise.ndim - 1))
    maps = np.sign(noise) * np.abs(noise) ** powers
    largest = np.abs(maps).reshape(len(maps), -1).max(axis=1).reshape(powers.shape)
    return np.asarray(maps / largest, dtype=np.float32)


def _all_alike(tasks: list[_Task]) -> str:
    """Why no task's scores order anything; empty if one's do."""
    problems = [task.alike() for task in tasks]
    return problems[0] if all(problems) else ""


def _first(problems: Iterator[str]) -> str:
    return next((problem for problem in problems if problem), "")
