"""What the method worker does for a confidence scoring function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from harness.methods.answers import as_array, part
from harness.methods.conformance import WANTED
from harness.spec.result import Passes
from harness.tracks.passes import Meter

if TYPE_CHECKING:
    import numpy as np


class ConfidenceHost:
    """Holds a user's method and what it has learnt. Verbs: fit, score."""

    def __init__(self, definition: Any, device: str) -> None:
        self._definition = definition
        self._device = device
        self._method: Any = None
        self._network: Any = None
        self._shared: dict[str, np.ndarray] = {}
        self._absent: dict[str, str] = {}
        self._meter = Meter()

    def passes(self) -> Passes | None:
        """What the method passed through the network since this was last asked; None where it does not have one."""
        return None if self._network is None else self._meter.take()

    @property
    def verbs(self) -> Mapping[str, Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, np.ndarray]]]:
        return {"fit": self.fit, "score": self.score}

    def fit(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Begin with a new trained model: build it if it was asked for, and let the method learn.

        Answers `wanted/<part>`, an empty array, where the method asks for a part of its reference that was deferred.
        """
        from harness.methods.outputs import DeferredPartError, LabelledOutputs, Reference

        self._shared, self._absent = part(arrays, "shared"), meta.get("absent", {})
        self._network = _network(meta["network"], part(arrays, "network"), self._device)
        self._method = self._definition() if isinstance(self._definition, type) else self._definition
        learn: Callable[[Any], None] | None = getattr(self._method, "fit", None)
        if learn is not None:
            network = self._own_network()
            parts = {
                name: LabelledOutputs(part(arrays, name), self._own_shared(), network, self._device, self._absent)
                for name in meta["reference"]
            }
            try:
                with self._counting(network):
                    learn(Reference(parts, frozenset(meta.get("deferred", ()))))
            except DeferredPartError as deferred:
                return self._wanting(deferred.part)
        return {}

    def _wanting(self, part: str) -> dict[str, np.ndarray]:
        """That the method wants this part; what it did before it said so does not count."""
        import numpy as np

        self._method = None
        self._meter.take()
        return {WANTED + part: np.zeros(0)}

    def score(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Confidence of each sample, as the method gave it; or `wanted/<part>` as `fit`."""
        from harness.methods.outputs import DeferredPartError, Outputs

        network = self._own_network()
        outputs = Outputs(arrays, self._own_shared(), network, self._device, self._absent)
        try:
            with self._counting(network):
                answer = self._method.score(outputs) if isinstance(self._definition, type) else self._method(outputs)
        except DeferredPartError as deferred:
            return self._wanting(deferred.part)
        return {"confidence": as_array(answer)}

    def _own_shared(self) -> dict[str, np.ndarray]:
        """Copies: what a method does to them must not reach its later answers."""
        return {name: array.copy() for name, array in self._shared.items()}

    def _own_network(self) -> Any:
        """A copy for each call: changed weights and forgotten hooks must not reach later answers either."""
        return copy.deepcopy(self._network)

    def _counting(self, network: Any) -> AbstractContextManager[None]:
        """Passes go through the trunk, whether the network is called or asked for more than its logits."""
        return nullcontext() if network is None else self._meter.counting(getattr(network, "trunk", network))


def _network(description: dict[str, Any] | None, weights: dict[str, np.ndarray], device: str) -> Any:
    """The network in evaluation mode, or None where it was not asked for. Without weights, a random one."""
    if description is None:
        return None
    import torch

    from harness.tracks.confidence.networks import build_network

    network = build_network(description["family"], description["classes"])
    if weights:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.to(device).eval()
