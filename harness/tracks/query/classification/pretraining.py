"""SimCLR: an encoder that knows the images of a pool without any label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.spec.query import ClassifierTraining
from harness.tracks.query.classification.augmentation import Augmentation, contrastive_view
from harness.tracks.query.classification.networks import build_encoder
from harness.tracks.query.classification.optimisation import gathered, minimise, reproducible

if TYPE_CHECKING:
    from harness.tracks.query.campaign import Report, Weights
    from harness.tracks.query.classification.data import Images


def pretrain(images: Images, training: ClassifierTraining, seed: int, device: str, report: Report) -> Weights:
    """Weights of an encoder trained on all images of the pool by SimCLR (Chen et al. 2020)."""
    spec, inputs = training.pretraining, images.pool_inputs
    assert spec is not None
    with reproducible(device, "pretraining", seed):
        encoder, width = build_encoder(training, inputs.shape[1:])
        network = nn.Sequential(encoder, _projection(width, spec.hidden, spec.features)).to(device)
        changes = contrastive_view(images.mirrored) if spec.view is None else spec.view
        view = Augmentation(changes, images, device)
        batch = min(spec.batch_size, len(inputs))
        steps = len(inputs) // batch

        def losses() -> Iterator[Tensor]:
            for chosen in torch.randperm(len(inputs))[: steps * batch].split(batch):
                pixels = gathered(inputs, chosen, device)
                yield contrastive_loss(network(torch.cat([view(pixels), view(pixels)])), spec.temperature)

        for epoch in minimise(network, spec.optimiser, spec.epochs, steps, losses):
            report(f"pre-training, epoch {epoch} of {spec.epochs}", epoch / spec.epochs)
        return arrays_of(encoder)


def contrastive_loss(projected: Tensor, temperature: float) -> Tensor:
    """NT-Xent of projections (2 n, d), where rows i and n + i are views of one image: the mean cross-entropy of
    finding a row's other view among all other rows, by cosine similarity."""
    unit = F.normalize(projected, dim=1)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return F.cross_entropy(similarity, partner)


def arrays_of(network: nn.Module) -> dict[str, np.ndarray]:
    """All that a network has learnt, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def tensors_of(weights: Weights) -> dict[str, Tensor]:
    """The reverse of `arrays_of`, for `load_state_dict`."""
    return {name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}


def _projection(width: int, hidden: int, features: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, features, bias=False)
    )
