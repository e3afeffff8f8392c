"""What a confidence scoring function is given: the outputs of a trained classifier, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class NotOfferedError(LookupError):
    """A method asked for something that this model or data set does not have."""


class DeferredPartError(BaseException):
    """A method asked for a part of its reference that is computed only now that it is asked for. See `Reference`.

    No `Exception`, so that what a method itself catches does not hide it from the harness.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


class Outputs:
    """What a classifier said about n samples. All tensors are float64 unless stated.

    Whatever the model at hand does not offer raises `NotOfferedError`, by which the harness marks
    the unit *not applicable*. Use `"features" in outputs` to ask first.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        shared: Mapping[str, np.ndarray] | None = None,
        model: nn.Module | None = None,
        device: str = "cpu",
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self._arrays = arrays
        self._shared = shared or {}
        self._model = model
        self._device = device
        self._absent = absent or {}  # why something that the method declares to need is not there

    def __contains__(self, name: str) -> bool:
        if name == "model":
            return self._model is not None
        if name == "log_probabilities":
            return "probabilities" in self
        if name in ("probabilities", "mc_probabilities"):
            return name in self._arrays or name.replace("probabilities", "logits") in self._arrays
        return name in self._arrays or name in self._shared

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name != "labels"]

    def __len__(self) -> int:
        # Training outputs may have features alone, results of others a confidence alone.
        names = ("logits", "probabilities", "features", "head_confidence")
        return next(len(self._arrays[name]) for name in names if name in self._arrays)

    @cached_property
    def logits(self) -> Tensor:
        """(n, classes): what the last layer said."""
        return self._tensor("logits")

    @cached_property
    def probabilities(self) -> Tensor:
        """(n, classes): soft-max of the logits, or as stored where only probabilities are known."""
        if "logits" in self._arrays:
            return self.logits.softmax(dim=1)
        return self._tensor("probabilities")

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(n, classes): logarithm of the probabilities, exact where logits are known."""
        if "logits" in self._arrays:
            return self.logits.log_softmax(dim=1)
        import torch

        return self.probabilities.clamp_min(torch.finfo(torch.float64).tiny).log()

    @cached_property
    def features(self) -> Tensor:
        """(n, f): inputs of the last layer."""
        return self._tensor("features")

    @cached_property
    def mc_logits(self) -> Tensor:
        """(members, n, classes): logits under Monte-Carlo dropout."""
        return self._tensor("mc_logits")

    @cached_property
    def mc_probabilities(self) -> Tensor:
        """(members, n, classes): soft-max of each member's logits, or as stored."""
        if "mc_logits" in self._arrays:
            return self.mc_logits.softmax(dim=2)
        return self._tensor("mc_probabilities")

    @cached_property
    def head_confidence(self) -> Tensor:
        """(n,): what the model's trained confidence head said, higher = more confident."""
        return self._tensor("head_confidence")

    @cached_property
    def mc_head_confidence(self) -> Tensor:
        """(members, n): the confidence head under Monte-Carlo dropout."""
        return self._tensor("mc_head_confidence")

    @cached_property
    def weight(self) -> Tensor:
        """(classes, f): weight of the last layer."""
        return self._tensor("weight")

    @cached_property
    def bias(self) -> Tensor:
        """(classes,): bias of the last layer."""
        return self._tensor("bias")

    @cached_property
    def reservation_weight(self) -> Tensor:
        """(1, f): weight of the reservation output, which DeepGamblers networks have behind their classes."""
        return self._tensor("reservation_weight")

    @cached_property
    def reservation_bias(self) -> Tensor:
        """(1,): bias of the reservation output."""
        return self._tensor("reservation_bias")

    @cached_property
    def inputs(self) -> Tensor:
        """(n, channels, *spatial), float32, as the model takes them. Only with `needs=("inputs",)`."""
        import torch

        return torch.from_numpy(self._raw("inputs")).to(self._device)

    @property
    def labels(self) -> Tensor:
        """Never there: labels of test data are kept from methods. `fit` gets labelled reference outputs."""
        raise AttributeError("outputs have no labels; a method learns from reference.train or reference.validation")

    @property
    def model(self) -> nn.Module:
        """The network in evaluation mode, inputs -> logits (n, classes). Only with `needs=("model",)`.

        Each call of a method gets a copy of its own, so what it does to the network ends with the call.
        """
        if self._model is None:
            hint = 'the model is not offered; declare needs=("model",), or it cannot be run here'
            raise NotOfferedError(self._absent.get("model", hint))
        return self._model

    def _raw(self, name: str) -> np.ndarray:
        source = self._arrays if name in self._arrays else self._shared
        if name not in source:
            hint = (
                '; a method that needs them declares needs=("inputs",)' if name == "inputs" else self._instead_of(name)
            )
            raise NotOfferedError(self._absent.get(name, f"this model does not offer {name}{hint}"))
        return source[name]

    def _instead_of(self, name: str) -> str:
        """What a method may take in place of an array that is not known."""
        if name == "logits" and "probabilities" in self:
            return ", only probabilities; a method may take outputs.probabilities or outputs.log_probabilities"
        if name == "mc_logits" and "mc_probabilities" in self:
            return ", only mc_probabilities; a method may take outputs.mc_probabilities"
        if name in ("logits", "probabilities") and "head_confidence" in self:
            return "; harness evaluate head-confidence scores the confidences that it has"
        return ""

    def _tensor(self, name: str) -> Tensor:
        import torch

        return torch.from_numpy(self._raw(name)).to(self._device, torch.float64)


class LabelledOutputs(Outputs):
    """Outputs for samples whose labels a method may learn from."""

    @property
    def labels(self) -> Tensor:
        """(n,): class indices, int64."""
        import torch

        return torch.from_numpy(self._raw("labels")).to(self._device, torch.int64)


@dataclass(frozen=True)
class Reference:
    """What `fit` may learn from. Neither part shares a sample with any study.

    deferred: parts that are offered, but not at hand. Asking for one ends this `fit`, and begins a new one with it.
    """

    parts: Mapping[str, LabelledOutputs]
    deferred: frozenset[str] = frozenset()

    @property
    def train(self) -> LabelledOutputs:
        """Outputs on the data the model was trained on."""
        return self._part("train")

    @property
    def validation(self) -> LabelledOutputs:
        """Outputs on held-out data of the same distribution."""
        return self._part("validation")

    def __contains__(self, name: str) -> bool:
        return name in self.parts or name in self.deferred

    def _part(self, name: str) -> LabelledOutputs:
        if name in self.deferred:
            raise DeferredPartError(name)
        if name not in self.parts:
            raise NotOfferedError(f"{name} outputs are not offered by this benchmark")
        return self.parts[name]
