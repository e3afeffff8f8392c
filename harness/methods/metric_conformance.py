"""Does a metric of attribution maps keep its contract? Found out on small random networks and random maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.methods.answers import check_varied, checked_scores
from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import Check
from harness.methods.network_conformance import SAMPLES, SEED, SHAPES, NetworkTask, check_on_networks, on_each
from harness.spec.method import Architecture, AttributionMetricMethod, Modality

if TYPE_CHECKING:
    import numpy as np

_TOLERANCE = 1e-3  # of the spread of the scores: networks sum in another order in another batch


def check_attribution_metric(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    For every declared modality and architecture: the scores have shape (n,), are finite or NaN, and the model is left
    as it was; somewhere they are not all alike (a count of right decisions may tie on one small network); the same call
    gives the same scores; and, unless the metric declares itself stochastic, neither batch size nor order nor the other
    maps of a batch change a score.
    """
    spec = method.spec
    assert isinstance(spec, AttributionMetricMethod)
    over_all: dict[str, Callable[[Sequence[_Scoring]], str]] = {}
    if not spec.reference:
        over_all["tells maps apart"] = _all_alike
    over_all["gives the same scores twice under one seed"] = on_each(_Scoring.repeats)
    if not spec.stochastic:
        over_all["gives the same scores one by one and in another order"] = on_each(_Scoring.ignores_batches)
    return check_on_networks(method, _Scoring, "scores maps of {name}: (n,), the model left as it was", over_all)


class _Scoring(NetworkTask):
    """A metric scores random maps of random inputs."""

    def __init__(self, method: MethodClient, modality: Modality, architecture: Architecture) -> None:
        super().__init__(method, modality, architecture)
        self._maps = _random_maps((SAMPLES, 1, *SHAPES[modality][1:]), self._rng)

    def alike(self) -> str:
        """Why its scores order nothing; empty if they do."""
        try:
            check_varied(self._answer)
        except MethodError as error:
            return error.reason
        return ""

    def ignores_batches(self) -> str:
        advice = "score each map by itself, or declare stochastic=True if it draws numbers for whole batches"
        return self._one_by_one(_TOLERANCE, "the answer for one map at a time", advice)

    def _ask(self, places: Sequence[int], seed: int = SEED) -> np.ndarray:
        rows = list(places)
        given: dict[str, np.ndarray] = {
            "inputs": self._inputs[rows],
            "targets": self._targets[rows],
            "maps": self._maps[rows],
        }
        return checked_scores(self._call("score", given, seed), len(rows))

    def _differing(self, answer: np.ndarray, tolerance: float) -> int:
        import numpy as np

        spread = float(np.ptp(self._answer[np.isfinite(self._answer)]))
        same = np.isclose(answer, self._answer, rtol=0.0, atol=tolerance * spread, equal_nan=True)
        return int(np.count_nonzero(~same))


def _random_maps(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Maps with a largest |value| of 1, from broad to concentrated: plain noise would be much alike to any metric."""
    import numpy as np

    noise = rng.uniform(-1.0, 1.0, size=shape)
    powers = 1.0 + np.arange(len(noise)).reshape(-1, *[1] * (noise.ndim - 1))
    maps = np.sign(noise) * np.abs(noise) ** powers
    largest = np.abs(maps).reshape(len(maps), -1).max(axis=1).reshape(powers.shape)
    return np.asarray(maps / largest, dtype=np.float32)


def _all_alike(tasks: Sequence[_Scoring]) -> str:
    """Why no task's scores order anything; empty if one's do."""
    problems = [task.alike() for task in tasks]
    return problems[0] if all(problems) else ""
