"""What the method worker does for a metric of attribution maps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.methods.answers import UnusableAnswerError, as_array
from harness.methods.context import Context
from harness.tracks.attribution.host import AttributionHost
from harness.tracks.attribution.models import own_copy, unchanged
from harness.tracks.torch_state import torch_defaults

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class AttributionMetricHost(AttributionHost):
    """Holds a user's metric and the network whose maps it scores. Verbs: fit (as for XAI methods), score."""

    @property
    def verbs(self) -> Mapping[str, Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, np.ndarray]]]:
        return {"fit": self.fit, "score": self.score}

    def score(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores (n,) of maps (n, 1 or c, *spatial), with their inputs (n, c, *spatial) and targets (n,)."""
        import torch

        original = self._network()
        model = own_copy(original)
        given = [torch.from_numpy(arrays[name].copy()).to(self._device) for name in ("inputs", "targets", "maps")]
        with torch_defaults(), self._meter.counting(model):
            scores = as_array(_answer(self._method, model, given, self._context(model, meta["seed"])))
        if scores.shape != (len(given[0]),):  # said here, because a message may not hold more than was sent
            raise UnusableAnswerError(f"it returned shape {scores.shape}, expected ({len(given[0])},)")
        if problem := unchanged(model, original):
            raise UnusableAnswerError(problem)
        return {"scores": scores}

    def _metrics(self, seed: int) -> Callable[..., Callable[..., Tensor]]:
        return partial(_own_metric, seed)


def _own_metric(seed: int, id: str, **constants: Any) -> Callable[..., Tensor]:
    """A metric of the harness that needs maps only, bound to a seed."""
    import torch

    from harness.metrics.attribution.registry import make_metric

    metric = make_metric(id, constants)
    if metric.needs:
        raise LookupError(f"{id} needs {' and '.join(sorted(metric.needs))}, which metrics under test are not given")
    return partial(metric, generator=torch.Generator().manual_seed(seed))


def _answer(method: Any, model: nn.Module, given: list[Tensor], context: Context) -> Any:
    """Call a function or an object with `score`, with the context if it takes one."""
    call = getattr(method, "score", method)
    parameters = inspect.signature(call).parameters.values()
    if any(each.name == "context" for each in parameters):
        return call(model, *given, context=context)
    needed = [each for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    arguments = [model, *given, *([context] if len(needed) == 5 else [])]
    try:
        inspect.signature(call).bind(*arguments)
    except TypeError as error:
        raise UnusableAnswerError(
            "it must take (model, inputs, targets, maps) or (model, inputs, targets, maps, context)"
        ) from error
    return call(*arguments)
