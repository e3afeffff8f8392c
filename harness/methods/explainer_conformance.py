"""Does an XAI method keep its contract? Found out on small random networks, one of each kind that it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.methods.answers import check_spread, checked_maps
from harness.methods.client import MethodClient
from harness.methods.conformance import Check
from harness.methods.network_conformance import SAMPLES, SEED, NetworkTask, check_on_networks, on_each
from harness.spec.method import AttributionMethod

if TYPE_CHECKING:
    import numpy as np

_TOLERANCE = 1e-3  # of a map's largest value: sums of float32 in another order, through a whole network and back


def check_explainer(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    For every declared modality and architecture: maps have a fitting shape, are finite, not all constant and somewhere
    positive, unless the method asks for a part that the network lacks; the model is left as it was; the same seed gives
    the same maps, another seed too unless the method declares itself stochastic; and, unless it does, neither batch
    size nor order changes a map.
    """
    spec = method.spec
    assert isinstance(spec, AttributionMethod)
    over_all: dict[str, Callable[[Sequence[_Explaining]], str]] = {}
    over_all["gives the same maps twice under one seed"] = on_each(_Explaining.repeats)
    if not spec.stochastic:
        over_all["gives the same maps under another seed"] = on_each(_Explaining.ignores_seeds)
        over_all["gives the same maps one by one and in another order"] = on_each(_Explaining.ignores_batches)
    return check_on_networks(method, _Explaining, "explains {name}: finite maps, the model left as it was", over_all)


class _Explaining(NetworkTask):
    """A method explains random inputs."""

    def answers(self) -> str:
        super().answers()
        if not self._method.spec.reference:
            check_spread(self._answer)
        return ""

    def ignores_seeds(self) -> str:
        advice = 'declare stochastic=True: @explainer(version="1.0", stochastic=True)'
        answer = self._ask(range(SAMPLES), SEED + 1)
        return self._compare(answer, 0.0, "the answer under another seed", advice)

    def ignores_batches(self) -> str:
        return self._one_by_one(_TOLERANCE, "the answer for one sample at a time", "explain each sample by itself")

    def _ask(self, places: Sequence[int], seed: int = SEED) -> np.ndarray:
        inputs, rows = self._inputs[list(places)], list(places)
        answer = self._call("explain", {"inputs": inputs, "targets": self._targets[rows]}, seed)
        return checked_maps(answer, inputs.shape)

    def _differing(self, answer: np.ndarray, tolerance: float) -> int:
        import numpy as np

        largest = np.abs(self._answer).reshape(SAMPLES, -1).max(axis=1)
        difference = np.abs(answer - self._answer).reshape(SAMPLES, -1).max(axis=1)
        return int(np.count_nonzero(difference > tolerance * largest))
