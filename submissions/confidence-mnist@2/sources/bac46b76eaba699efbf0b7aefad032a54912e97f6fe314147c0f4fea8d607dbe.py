"""Rectified activations: logits of clipped features, scored as usual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.confidence.temperature_mls import fd_shifts_temperature
from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference


class _Rectified:
    """Clip features at a quantile of all training activations and let the last layer speak again."""

    quantile = 0.90  # as in the paper

    def fit(self, reference: Reference) -> None:
        import numpy as np

        # numpy, because torch.quantile refuses large inputs
        activations = reference.train.features.cpu().numpy()
        self.ceiling = float(np.quantile(activations, self.quantile))

    def logits(self, outputs: Outputs) -> Tensor:
        weight, bias = self.last_layer(outputs)
        return outputs.features.clamp_max(self.ceiling) @ weight.T + bias

    def last_layer(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Weight (classes, f) and bias (classes,)."""
        return outputs.weight, outputs.bias


@confidence_score(version="1.0", name="react-msr", citation="Sun et al., ReAct, NeurIPS 2021")
class ReActMSR(_Rectified):
    """Probability of the predicted class after rectification."""

    def score(self, outputs: Outputs) -> Tensor:
        return self.logits(outputs).softmax(dim=1).amax(dim=1)


@confidence_score(version="1.0", name="react-mls", citation="Sun et al., ReAct, NeurIPS 2021")
class ReActMLS(_Rectified):
    """Largest logit after rectification."""

    def score(self, outputs: Outputs) -> Tensor:
        return self.logits(outputs).amax(dim=1)


@confidence_score(version="1.0", name="react-energy", citation="Sun et al., ReAct, NeurIPS 2021")
class ReActEnergy(_Rectified):
    """Log-sum-exp of the logits after rectification: the score of the paper."""

    def score(self, outputs: Outputs) -> Tensor:
        return self.logits(outputs).logsumexp(dim=1)


@confidence_score(version="1.0", name="react-msr-fd-shifts", citation="Jaeger et al., ICLR 2023")
class ReActMSRFDShifts(ReActMSR):
    """The FD-Shifts reading: clipped at the 99 % quantile."""

    quantile = 0.99


@confidence_score(version="1.0", name="react-mls-fd-shifts", citation="Jaeger et al., ICLR 2023")
class ReActMLSFDShifts(ReActMLS):
    """The FD-Shifts reading: clipped at the 99 % quantile."""

    quantile = 0.99


@confidence_score(version="1.0", name="react-energy-fd-shifts", citation="Jaeger et al., ICLR 2023")
class ReActEnergyFDShifts(ReActEnergy):
    """The FD-Shifts reading: clipped at the 99 % quantile."""

    quantile = 0.99


@confidence_score(version="1.0", name="react-temperature-mls-fd-shifts", citation="Jaeger et al., ICLR 2023")
class ReActTemperatureMLSFDShifts(_Rectified):
    """The FD-Shifts reading of temperature scaling on logits that are clipped at the 99 % quantile."""

    quantile = 0.99

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        validation = reference.validation
        self.temperature = fd_shifts_temperature(self.logits(validation), validation.labels)

    def score(self, outputs: Outputs) -> Tensor:
        return (self.logits(outputs) / self.temperature).softmax(dim=1).amax(dim=1)

    def logits(self, outputs: Outputs) -> Tensor:
        """In float32, as theirs are here up to the end: the ties of its soft-max are part of their numbers."""
        return super().logits(outputs).float()
