"""Maximum soft-max response after temperature scaling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference


@confidence_score(version="1.0", name="temperature-mls", citation="Guo et al., ICML 2017")
class TemperatureMLS:
    """Largest logit over a temperature, fitted to validation likelihood, through the soft-max.

    FD-Shifts calls it TEMP-MLS. Log-probabilities serve as logits where only those are known: they
    differ by a constant per sample, which the soft-max does not see.
    """

    def fit(self, reference: Reference) -> None:
        from scipy.optimize import minimize_scalar

        validation = reference.validation
        scores, labels = validation.log_probabilities, validation.labels

        def negative_log_likelihood(log_temperature: float) -> float:
            scaled = (scores / math.exp(log_temperature)).log_softmax(dim=1)
            return -float(scaled.gather(1, labels[:, None]).mean())

        # In the inverse temperature the likelihood is concave, so the one minimum is the global one.
        found = minimize_scalar(negative_log_likelihood, bounds=(-5.0, 5.0), method="bounded")
        self.temperature = math.exp(float(found.x))

    def score(self, outputs: Outputs) -> Tensor:
        return (outputs.log_probabilities / self.temperature).softmax(dim=1).amax(dim=1)
