"""Asking a method again: for maps of perturbed inputs, or of the same inputs under another model."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from harness.metrics.attribution.map_batch import MapBatch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.metrics.attribution.map_batch import Explain

AT_ONCE = 64
"""Most inputs that a metric asks about in one call, unless it perturbs a single sample more often than that."""

MEMORY_BYTES = 1 << 29


def explained(samples: MapBatch, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> MapBatch:
    """Other inputs (m, c, *spatial) with the method's maps of them, which are read just as the stored ones are.

    Raises ValueError for maps that do not fit the inputs or are not finite.
    """
    import torch

    assert samples.explain is not None
    maps = samples.explain(inputs, targets, model=model)
    fitting = (tuple(inputs.shape), (len(inputs), 1, *inputs.shape[2:]))
    if tuple(maps.shape) not in fitting:
        raise ValueError(f"the method's maps have shape {tuple(maps.shape)}, expected {fitting[0]} or {fitting[1]}.")
    if not bool(torch.isfinite(maps).all()):
        raise ValueError("the method's maps of perturbed inputs, or of a randomised model, are not finite.")
    return MapBatch(inputs, targets, maps, samples.seed)


class Explanations:
    """An `Explain` that remembers: metrics that perturb samples alike ask the method once.

    One object serves all metrics of one method and model. It holds the latest maps of up to `max_bytes`; so that
    the next metric finds what the last one asked, let a call of each metric hold as few samples as fit. Maps of other
    models are not remembered. `asked` counts the inputs that the method was really asked about.
    """

    def __init__(self, explain: Explain, *, max_bytes: int = MEMORY_BYTES) -> None:
        self.asked = 0
        self._explain = explain
        self._max_bytes = max_bytes
        self._memory: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0

    def __call__(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        if model is not None:
            return self._ask(inputs, targets, model)
        key = _content(inputs, targets)
        if key in self._memory:
            self._memory.move_to_end(key)
        else:
            self._remember(key, self._ask(inputs, targets, None).detach().cpu())
        return self._memory[key]

    def _ask(self, inputs: Tensor, targets: Tensor, model: nn.Module | None) -> Tensor:
        self.asked += len(inputs)
        return self._explain(inputs, targets, model=model)

    def _remember(self, key: bytes, maps: Tensor) -> None:
        """Keep the maps, and drop the oldest others until the rest fits."""
        self._memory[key] = maps
        self._bytes += maps.nbytes
        while self._bytes > self._max_bytes and len(self._memory) > 1:
            _, dropped = self._memory.popitem(last=False)
            self._bytes -= dropped.nbytes


def _content(inputs: Tensor, targets: Tensor) -> bytes:
    digest = hashlib.sha256()
    for values in (inputs, targets):
        array = values.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.digest()
