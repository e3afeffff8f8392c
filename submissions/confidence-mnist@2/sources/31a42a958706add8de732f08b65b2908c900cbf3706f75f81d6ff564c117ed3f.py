"""Distance to the k-th nearest training sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs, Reference


NEIGHBOUR = 50


@confidence_score(version="1.0", citation="Sun et al., ICML 2022")
class KNN:
    """Negative distance to the 50th neighbour among all training features, all of length 1."""

    def fit(self, reference: Reference) -> None:
        from torch.nn.functional import normalize

        self.train = normalize(reference.train.features, dim=1)

    def score(self, outputs: Outputs) -> Tensor:
        from torch.nn.functional import normalize

        return -_distance_to_neighbour(normalize(outputs.features, dim=1), self.train)


@confidence_score(version="1.0", name="knn-fd-shifts", citation="Jaeger et al., ICLR 2023")
class KNNFDShifts:
    """The FD-Shifts reading: the first 1000 training rows, features as they are, squared distance."""

    def fit(self, reference: Reference) -> None:
        self.train = reference.train.features[:1000]

    def score(self, outputs: Outputs) -> Tensor:
        return -_distance_to_neighbour(outputs.features, self.train).square()


def _distance_to_neighbour(features: Tensor, train: Tensor, chunk: int = 1024) -> Tensor:
    """Euclidean distance (n,) to the 50th neighbour; in chunks, so that memory does not grow with n."""
    import torch

    neighbour = min(NEIGHBOUR, len(train))
    # By differences, not by a matrix product: its rounding would depend on the chunk.
    parts = [
        torch.cdist(part, train, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(neighbour, dim=1).values
        for part in features.split(chunk)
    ]
    return torch.cat(parts)
