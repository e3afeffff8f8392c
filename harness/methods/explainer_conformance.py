"""Does an XAI method keep its contract? Found out on small random networks, one of each kind that it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.methods.answers import check_spread, checked_maps
from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import Check, until_failure
from harness.spec.method import Architecture, AttributionMethod, Modality

if TYPE_CHECKING:
    import numpy as np

SAMPLES, CLASSES = 6, 10
SHAPES: dict[Modality, tuple[int, ...]] = {"image": (1, 28, 28), "volume": (1, 16, 16, 16), "point-cloud": (3, 256)}
FAMILIES: dict[tuple[Modality, Architecture], str] = {
    ("image", "cnn"): "cnn",
    ("image", "transformer"): "vit",
    ("volume", "cnn"): "cnn3d",
    ("volume", "transformer"): "vit3d",
    ("point-cloud", "cnn"): "pointnet",
    ("point-cloud", "transformer"): "point-transformer",
}
_TOLERANCE = 1e-3  # of a map's largest value: sums of float32 in another order, through a whole network and back


def check_explainer(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    For every declared modality and architecture: maps have a fitting shape, are finite, not all constant and
    somewhere positive, unless the method asks for a part that the network lacks; the model is left as it was; the same seed gives the same maps, another seed too unless the
    method declares itself stochastic; and, unless it does, neither batch size nor order changes a map.
    """
    assert isinstance(method.spec, AttributionMethod)
    spec = method.spec
    applies = []
    for modality in spec.modalities:
        for architecture in spec.architectures:
            task = _Task(method, modality, architecture)
            missing = task.missing()
            if not missing:
                applies.append(task)
            name = f"explains {task.name}: finite maps, the model left as it was"
            yield from until_failure(
                {f"does not apply to {task.name} ({missing})": lambda: ""} if missing else {name: task.answers}
            )
            if task.problem:
                return
    yield from until_failure(_over_all(applies, spec.stochastic))


def _over_all(tasks: list[_Task], stochastic: bool) -> dict[str, Callable[[], str]]:
    """What is asked of all tasks that apply together."""
    if not tasks:
        return {"applies to a network that it is declared for": lambda: "none of them offers what it asks for"}
    requirements = {"gives the same maps twice under one seed": lambda: _first(task.repeats(7) for task in tasks)}
    if not stochastic:
        requirements["gives the same maps under another seed"] = lambda: _first(task.repeats(8) for task in tasks)
        requirements["gives the same maps one by one and in another order"] = lambda: _first(
            task.ignores_batches() for task in tasks
        )
    return requirements


class _Task:
    """Random inputs of one modality and a random network of one architecture."""

    def __init__(self, method: MethodClient, modality: Modality, architecture: Architecture) -> None:
        import numpy as np

        self.name = f"{modality}s, {architecture}"
        self._method = method
        self._family = FAMILIES[modality, architecture]
        rng = np.random.default_rng(0)
        self._inputs = rng.uniform(size=(SAMPLES, *SHAPES[modality])).astype(np.float32)
        self._targets = rng.integers(CLASSES, size=SAMPLES)
        self._maps = self._inputs
        self._failure: MethodError | None = None
        self._problem = False

    def missing(self) -> str:
        """What the method asks for that this network does not offer."""
        try:
            self._maps = self._explain(self._inputs, self._targets)
        except MethodError as error:
            self._failure = error
            return error.reason if error.status == "not-applicable" else ""
        return ""

    @property
    def problem(self) -> bool:
        """Whether a requirement of this task was not met."""
        return self._problem

    def answers(self) -> str:
        self._problem = True
        if self._failure is not None:
            raise self._failure
        if not self._method.spec.reference:
            check_spread(self._maps)
        self._problem = False
        return ""

    def repeats(self, seed: int) -> str:
        advice = (
            "take randomness from context.generator, torch, numpy or random only"
            if seed == 7
            else 'declare stochastic=True: @explainer(version="1.0", stochastic=True)'
        )
        what = "the second answer under the same seed" if seed == 7 else "the answer under another seed"
        return self._compare(self._explain(self._inputs, self._targets, seed), 0.0, what, advice)

    def ignores_batches(self) -> str:
        import numpy as np

        backwards = [self._explain(self._inputs[i : i + 1], self._targets[i : i + 1]) for i in range(SAMPLES)[::-1]]
        what, advice = "the answer for one sample at a time", "explain each sample by itself"
        return self._compare(np.concatenate(backwards[::-1]), _TOLERANCE, what, advice)

    def _explain(self, inputs: np.ndarray, targets: np.ndarray, seed: int = 7) -> np.ndarray:
        if self._method.state != self.name:
            meta: dict[str, Any] = {"network": {"family": self._family, "classes": CLASSES}}
            self._method.call("fit", {"background": self._inputs}, seed=1, meta=meta)
            self._method.state = self.name
        answer = self._method.call("explain", {"inputs": inputs, "targets": targets}, seed=seed)
        return checked_maps(answer, inputs.shape)

    def _compare(self, maps: np.ndarray, tolerance: float, what: str, advice: str) -> str:
        import numpy as np

        largest = np.abs(self._maps).reshape(SAMPLES, -1).max(axis=1)
        difference = np.abs(maps - self._maps).reshape(SAMPLES, -1).max(axis=1)
        differs = int(np.count_nonzero(difference > tolerance * largest))
        return f"{self.name}: {what} differs for {differs} of {SAMPLES} maps; {advice}" if differs else ""


def _first(problems: Iterator[str]) -> str:
    return next((problem for problem in problems if problem), "")
