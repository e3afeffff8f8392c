"""Runs a model for the metrics: in micro-batches, and only once for what does not depend on the maps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from harness.metrics.attribution._prepared import prepared
from harness.metrics.attribution.map_batch import MapBatch
from harness.storage import content_id, file_id

Perturb = Callable[[Tensor, Tensor], Tensor]
"""Perturbed inputs (m, c, *spatial) of pairs: positions (m,) of samples, and steps (m,)."""
Read = Literal["probability", "logit", "correct"]

_CACHE_BYTES = 8 << 20
_SMALLEST, _LARGEST = 8, 32
_LARGEST_ON_GPU = 512


class Store(Protocol):
    """Keeps arrays across runs. What it returns must be what was put under the same key."""

    def get(self, key: str) -> Mapping[str, Tensor] | None: ...

    def put(self, key: str, values: Mapping[str, Tensor]) -> None: ...


class Forwards:
    """A model in evaluation mode. Results are on the CPU; nothing here keeps a graph.

    representation: name of the layer whose output `features` returns; by default the input of the last linear
    layer. micro_batch: how many inputs are run at once; by default from the size of the activations, not from a
    clock, so that numbers do not depend on how busy a machine is. store: remembers shared results across runs, under
    `identity`: a hash of all that may change the model's answers, which weights alone do not tell. prepare: run it in a
    cheaper way if there is one that gives the same (see `prepared`); the model must then stay as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        representation: str | None = None,
        micro_batch: int | None = None,
        store: Store | None = None,
        identity: str = "",
        prepare: bool = False,
    ) -> None:
        if store is not None and not identity:
            raise ValueError("a store needs the identity of the model, or it would mix the answers of two.")
        self.model = model
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.count = 0
        self._representation = representation
        self._micro_batch = micro_batch
        self._store = store
        self._memory: dict[str, dict[str, Tensor]] = {}
        self._identity = identity
        self._prepare = prepare and self.device.type == "cpu"
        self._prepared: nn.Module | None = None

    @classmethod
    def of(cls, model: nn.Module | Forwards) -> Forwards:
        return model if isinstance(model, cls) else cls(model)  # type: ignore[arg-type]

    def logits(self, inputs: Tensor) -> Tensor:
        """(m, classes) float64 of any number of inputs."""
        size = self.micro_batch(inputs)
        parts = [self._run(inputs[start : start + size]) for start in range(0, len(inputs), size)]
        return torch.cat(parts) if parts else inputs.new_zeros((0, 0), dtype=torch.float64)

    def base(self, samples: MapBatch) -> Tensor:
        """Logits (n, classes) of the unperturbed inputs."""
        return self.shared("base", {}, samples, lambda: {"logits": self.logits(samples.inputs)}, drawn=False)["logits"]

    def probability(self, samples: MapBatch) -> Tensor:
        """Soft-max probability (n,) of each target, unperturbed."""
        return self.of_target(samples, "probability")

    def of_target(self, samples: MapBatch, read: Read) -> Tensor:
        """What the model says (n,) of each target, unperturbed; `read` as in `curve`."""
        return of_targets(self.base(samples), samples.targets, read)

    def curve(
        self,
        samples: MapBatch,
        steps: int,
        perturb: Perturb,
        read: Read = "probability",
        wanted: Tensor | None = None,
    ) -> Tensor:
        """What the model says of the target after each perturbation, (n, steps) float64.

        Perturbed inputs are made and run a micro-batch at a time, sample by sample: memory does not grow with n or
        steps. read: soft-max probability or logit of the target, or whether it is the predicted class (0 or 1).
        wanted (n, steps): where False, nothing is run and the result is NaN; by default all are wanted.
        """
        count = len(samples) * steps
        result = torch.full((count,), torch.nan, dtype=torch.float64)
        chosen = torch.arange(count) if wanted is None else wanted.flatten().nonzero()[:, 0]
        for pairs in chosen.split(self.micro_batch(samples.inputs)):
            rows = pairs // steps
            logits = self._run(perturb(rows, pairs % steps))
            result[pairs] = of_targets(logits, samples.targets[rows], read)
        return result.view(len(samples), steps)

    def features(self, inputs: Tensor) -> Tensor:
        """Inner representation (m, f) float64 of any number of inputs."""
        layer, before = self._representation_layer()
        seen: list[Tensor] = []

        def keep(module: nn.Module, given: Any, out: Any = None) -> None:
            seen.append((given[0] if before else out).detach().flatten(1).cpu().to(torch.float64))

        size = self.micro_batch(inputs)  # may run the model, which must not be recorded
        handle = layer.register_forward_pre_hook(keep) if before else layer.register_forward_hook(keep)
        try:
            for some in inputs.split(size):
                self._run(some, self.model)
        finally:
            handle.remove()
        return torch.cat(seen)

    def shared(
        self,
        name: str,
        constants: Mapping[str, Any],
        samples: MapBatch,
        compute: Callable[[], dict[str, Tensor]],
        *,
        drawn: bool = True,
    ) -> Mapping[str, Tensor]:
        """What depends on the model, the samples and, if anything is drawn, the seed, but on no map: computed once for
        all methods.

        `name` and `constants` must tell two different computations apart. Values keep the samples' order.
        """
        key = self._key(name, constants, samples, samples.seed if drawn else None)
        if key not in self._memory:
            stored = self._store.get(key) if self._store is not None else None
            if stored is None:
                stored = compute()
                if self._store is not None:
                    self._store.put(key, stored)
            self._memory[key] = dict(stored)
        return self._memory[key]

    def micro_batch(self, inputs: Tensor) -> int:
        """How many inputs are run at once: as many as keep the largest activation within a processor's cache."""
        if self._micro_batch is None:
            largest = self._largest_activation(inputs[:1]) if len(inputs) else 1
            most = _LARGEST if self.device.type == "cpu" else _LARGEST_ON_GPU
            self._micro_batch = int(min(most, max(_SMALLEST, _CACHE_BYTES // max(1, largest))))
        return self._micro_batch

    def _run(self, inputs: Tensor, model: nn.Module | None = None) -> Tensor:
        """Logits of a few inputs, of the model itself if it is given, because its parts are watched."""
        self.count += len(inputs)
        model = self._for_inference(inputs) if model is None else model
        with torch.inference_mode():
            logits: Tensor = model(inputs.to(self.device))
        return logits.to("cpu", torch.float64).clone()

    def _for_inference(self, inputs: Tensor) -> nn.Module:
        if not self._prepare or len(inputs) == 0:
            return self.model
        if self._prepared is None:
            self._prepared = prepared(self.model, inputs, min(self.micro_batch(inputs), _LARGEST))
        return self._prepared

    def _largest_activation(self, one: Tensor) -> int:
        """Bytes of the largest output of any layer for one input."""
        sizes = [one.nbytes]

        def measure(module: nn.Module, given: Any, out: Any) -> None:
            if isinstance(out, Tensor):
                sizes.append(out.nbytes)

        handles = [module.register_forward_hook(measure) for module in self.model.modules()]
        try:
            with torch.inference_mode():
                self.model(one.to(self.device))
        finally:
            for handle in handles:
                handle.remove()
        return max(sizes)

    def _representation_layer(self) -> tuple[nn.Module, bool]:
        """The layer, and whether its input is meant."""
        if self._representation is not None:
            return self.model.get_submodule(self._representation), False
        linear = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError("the model has no linear layer; name the layer of its representation.")
        return linear[-1], True

    def _key(self, name: str, constants: Mapping[str, Any], samples: MapBatch, seed: int | None) -> str:
        content = hashlib.sha256(b"".join(samples.digests)).hexdigest()
        return content_id([self._identity, source_id(), self._representation, name, dict(constants), seed, content])


@cache
def source_id() -> str:
    """Hash of the metrics' own source: results of other code are not shared."""
    return content_id({path.name: file_id(path) for path in sorted(Path(__file__).parent.glob("*.py"))})


def of_targets(logits: Tensor, targets: Tensor, read: Read) -> Tensor:
    """What logits (m, classes) say of each target, (m,) float64; `read` as in `Forwards.curve`."""
    if read == "correct":
        return (logits.argmax(dim=1) == targets).to(torch.float64)
    values = logits.softmax(dim=1) if read == "probability" else logits
    return values.gather(1, targets[:, None])[:, 0]
