"""Virtual-logit matching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference

_ROUNDING = 1e-9
"""Residuals below this share of the features' own length are rounding."""


@confidence_score(version="1.1", citation="Wang et al., ViM, CVPR 2022")
class ViM:
    """Energy minus the scaled norm of the features outside their principal subspace.

    Features are centred at the point where all logits vanish, as the paper has it. Where training features never leave
    the principal subspace, as with fewer samples than it has dimensions, no scale can be learnt: the energy is left.
    """

    centre_again = False

    def fit(self, reference: Reference) -> None:
        import torch

        train = reference.train
        weight, bias = self.last_layer(train)
        self.origin = -torch.linalg.pinv(weight) @ bias
        centred = train.features - self.origin
        spread = centred - centred.mean(dim=0) if self.centre_again else centred
        _, vectors = torch.linalg.eigh(spread.T @ spread / len(spread))  # eigenvalues ascend
        self.residual_space = vectors[:, : centred.shape[1] - _principal_dimension(centred.shape[1])]
        residual: Tensor = (centred @ self.residual_space).norm(dim=1).mean()
        logits = train.features @ weight.T + bias
        known = residual > _ROUNDING * centred.norm(dim=1).mean()
        self.scale = logits.amax(dim=1).mean() / residual if known else torch.zeros_like(residual)

    def score(self, outputs: Outputs) -> Tensor:
        virtual: Tensor = self.scale * ((outputs.features - self.origin) @ self.residual_space).norm(dim=1)
        return outputs.logits.logsumexp(dim=1) - virtual

    def last_layer(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Weight (classes, f) and bias (classes,)."""
        return outputs.weight, outputs.bias


@confidence_score(version="1.1", name="vim-fd-shifts", citation="Jaeger et al., ICLR 2023")
class ViMFDShifts(ViM):
    """The FD-Shifts reading: the covariance is centred at the mean, so the origin does not enter it."""

    centre_again = True


def _principal_dimension(features: int) -> int:
    """1000 of 2048 and more, 512 of 768 and more, else half, as in the paper and in FD-Shifts."""
    if features >= 2048:
        return 1000
    return 512 if features >= 768 else features // 2
