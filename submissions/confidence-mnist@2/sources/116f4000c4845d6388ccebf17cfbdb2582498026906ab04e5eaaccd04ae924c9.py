"""Maximum soft-max response after temperature scaling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference


@confidence_score(version="1.1", name="temperature-mls", citation="Guo et al., ICML 2017")
class TemperatureMLS:
    """Largest logit over a temperature, fitted to validation likelihood, through the soft-max.

    FD-Shifts calls it TEMP-MLS. Log-probabilities serve as logits where only those are known: they differ by a constant
    per sample, which the soft-max does not see. Where no validation sample is misclassified, the likelihood only grows
    as the temperature falls, and tells nothing: it stays at 1.
    """

    def fit(self, reference: Reference) -> None:
        from scipy.optimize import minimize_scalar

        validation = reference.validation
        scores, labels = validation.log_probabilities, validation.labels
        if bool((scores.gather(1, labels[:, None])[:, 0] == scores.amax(dim=1)).all()):
            self.temperature = 1.0
            return

        def negative_log_likelihood(log_temperature: float) -> float:
            scaled = (scores / math.exp(log_temperature)).log_softmax(dim=1)
            return -float(scaled.gather(1, labels[:, None]).mean())

        # In the inverse temperature the likelihood is concave, so the one minimum is the global one.
        found = minimize_scalar(negative_log_likelihood, bounds=(-5.0, 5.0), method="bounded")
        self.temperature = math.exp(float(found.x))

    def score(self, outputs: Outputs) -> Tensor:
        return (outputs.log_probabilities / self.temperature).softmax(dim=1).amax(dim=1)


@confidence_score(version="1.0", name="temperature-mls-fd-shifts", citation="Jaeger et al., ICLR 2023")
class TemperatureMLSFDShifts:
    """The FD-Shifts reading: 50 iterations of L-BFGS from temperature 1, which mostly stop short of the optimum."""

    def fit(self, reference: Reference) -> None:
        validation = reference.validation
        self.temperature = fd_shifts_temperature(self.logits(validation), validation.labels)

    def score(self, outputs: Outputs) -> Tensor:
        return (self.logits(outputs) / self.temperature).softmax(dim=1).amax(dim=1)

    def logits(self, outputs: Outputs) -> Tensor:
        """What is divided by the temperature (n, classes)."""
        return outputs.logits if "logits" in outputs else outputs.log_probabilities


def fd_shifts_temperature(logits: Tensor, labels: Tensor) -> float:
    """Where L-BFGS (learning rate 0.01, 50 iterations, from 1) leaves the temperature of logits (n, classes), labels (n,).

    ValueError where that is no positive number.
    """
    import torch
    from torch.nn.functional import cross_entropy

    # In float32, as theirs is: it decides where the iterations end.
    temperature = torch.ones(1, device=logits.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([temperature], lr=0.01, max_iter=50)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = cross_entropy(logits / temperature, labels)
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    found = temperature.item()
    if not 0 < found < math.inf:
        raise ValueError(f"L-BFGS left the temperature at {found:g} on these validation logits; it must be positive")
    return found
