"""What the method worker does for an XAI method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.methods.answers import UnusableAnswerError, as_array, part
from harness.methods.context import Context
from harness.spec.result import Passes
from harness.tracks.attribution.models import BuiltNetwork, Description, build, load_weights, own_copy, unchanged
from harness.tracks.passes import Meter
from harness.tracks.torch_state import keep_freed_memory, torch_defaults

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class AttributionHost:
    """Holds a user's method and the network that it explains. Verbs: fit, explain."""

    def __init__(self, definition: Any, device: str) -> None:
        self._definition = definition
        self._device = device
        self._method: Any = definition
        self._built: BuiltNetwork | None = None
        self._background: np.ndarray | None = None
        self._meter = Meter()
        keep_freed_memory()

    def passes(self) -> Passes | None:
        """What the method passed through its networks since this was last asked."""
        return self._meter.take()

    @property
    def verbs(self) -> Mapping[str, Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, np.ndarray]]]:
        return {"fit": self.fit, "explain": self.explain}

    def fit(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Begin with a new network: build it, keep its background set, and make a new object of a class."""
        self._built = build(Description(**meta["network"]), part(arrays, "network"), self._device)
        self._background = arrays.get("background")
        self._method = self._definition() if isinstance(self._definition, type) else self._definition
        return {}

    def explain(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Maps of inputs (n, c, *spatial) and targets (n,); with weights, under these instead of the network's own."""
        import numpy as np
        import torch

        original = self._network()
        if other := part(arrays, "network"):
            original = own_copy(original)
            load_weights(original, other)
        model = own_copy(original)
        inputs = torch.from_numpy(arrays["inputs"].copy()).to(self._device)
        targets = torch.from_numpy(arrays["targets"].copy()).to(self._device)
        with torch_defaults(), self._meter.counting(model):
            maps = as_array(_answer(self._method, model, inputs, targets, self._context(model, meta["seed"])))
        if maps.size > arrays["inputs"].size:  # more than a message may hold
            raise UnusableAnswerError(f"it returned shape {maps.shape}, expected {arrays['inputs'].shape}")
        if problem := unchanged(model, original):
            raise UnusableAnswerError(problem)
        if maps.dtype.kind == "f":  # what is scored is float32, whatever a method computes in
            with np.errstate(over="ignore"):
                maps = maps.astype(np.float32)
        return {"maps": maps}

    def _network(self) -> nn.Module:
        assert self._built is not None, "fit comes first"
        return self._built.network

    def _context(self, model: nn.Module, seed: int) -> Context:
        assert self._built is not None, "fit comes first"
        return Context(
            model,
            self._built.modality,
            self._built.architecture,
            anatomy=self._built.anatomy,
            background=self._own_background(),
            seed=seed,
            metrics=self._metrics(seed),
        )

    def _metrics(self, seed: int) -> Callable[..., Callable[..., Tensor]] | None:
        """What `Context.metric` gives; nothing to XAI methods."""
        return None

    def _own_background(self) -> Tensor | None:
        import torch

        return None if self._background is None else torch.from_numpy(self._background.copy()).to(self._device)


def _answer(method: Any, model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Any:
    """Call a function, an object with `explain`, or a factory of objects with captum's `attribute`."""
    call = getattr(method, "explain", method)
    parameters = inspect.signature(call).parameters.values()
    named = any(each.name == "context" for each in parameters)
    needed = [each for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    if len(needed) == 1 and call is method and not named:
        attribution = method(model)
        attribute = getattr(attribution, "attribute", None)
        if attribute is None:
            raise UnusableAnswerError(
                f"its factory returned {type(attribution).__name__}, which has no method `attribute(inputs, target=...)`"
            )
        return attribute(inputs, target=targets)
    if named:
        return call(model, inputs, targets, context=context)
    try:
        inspect.signature(call).bind(model, inputs, targets, *([context] if len(needed) == 4 else []))
    except TypeError as error:
        raise UnusableAnswerError(
            "it must take (model, inputs, targets), (model, inputs, targets, context), or (model) alone as a factory"
        ) from error
    return call(model, inputs, targets, *([context] if len(needed) == 4 else []))
