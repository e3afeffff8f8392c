"""Mahalanobis distance to class means in feature space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score
from harness.methods.outputs import NotOfferedError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference


@confidence_score(version="1.0", citation="Lee et al., NeurIPS 2018")
class Mahalanobis:
    """Negative squared distance to the nearest class mean, under one within-class covariance."""

    def fit(self, reference: Reference) -> None:
        import torch

        features, labels = reference.train.features, reference.train.labels
        classes = labels.unique()
        self.means = torch.stack([features[labels == each].mean(dim=0) for each in classes])
        within = features - self.means[torch.searchsorted(classes, labels)]
        self.precision = torch.linalg.pinv(within.T @ within / len(within), hermitian=True)

    def score(self, outputs: Outputs) -> Tensor:
        import torch

        # Class by class: all differences at once would need n * classes * f numbers.
        distances = [_squared_distances(outputs.features - mean, self.precision) for mean in self.means]
        return -torch.stack(distances).amin(dim=0)


@confidence_score(version="1.0", name="mahalanobis-fd-shifts", citation="Jaeger et al., ICLR 2023")
class MahalanobisFDShifts:
    """The FD-Shifts reading: covariance of all features at once, distance to the predicted class only."""

    def fit(self, reference: Reference) -> None:
        import torch

        features, labels = reference.train.features, reference.train.labels
        if len(features) < 2:
            raise NotOfferedError("a covariance needs two training samples or more, and there is one")
        overall = features.mean(dim=0)
        known = set(labels.tolist())
        # A class without training samples has no mean; that of all samples stands in, also for higher classes.
        self.means = torch.stack(
            [features[labels == each].mean(dim=0) if each in known else overall for each in range(max(known) + 2)]
        )
        covariance = torch.cov(features.T).reshape(features.shape[1], -1)  # of one feature, cov gives a number
        self.precision = torch.linalg.pinv(covariance, hermitian=True)

    def score(self, outputs: Outputs) -> Tensor:
        predicted = outputs.probabilities.argmax(dim=1).clamp_max(len(self.means) - 1)
        return -_squared_distances(outputs.features - self.means[predicted], self.precision)


def _squared_distances(difference: Tensor, precision: Tensor) -> Tensor:
    return ((difference @ precision) * difference).sum(dim=-1)
