"""Run a trained classifier once and keep everything that a confidence scoring function may need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from harness.tracks.confidence.networks import ConfidenceNetwork, Masks
from harness.tracks.torch_state import one_thread

Arrays = dict[str, npt.NDArray[np.float32]]


def run_model(
    network: ConfidenceNetwork,
    inputs: torch.Tensor,
    *,
    members: int = 25,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 256,
) -> Arrays:
    """Outputs of a network for inputs (n, 1, 28, 28), without and with Monte-Carlo dropout.

    Each of the `members` is one fixed sub-network, drawn from `seed` and shared by all samples, so an
    output depends on no other image and on no batch. The network is left in evaluation mode on `device`.

    Returns:
        float32 arrays: `logits` (n, classes), `features` (n, f), `mc_logits` (members, n, classes),
        `head_confidence` (n,) and `mc_head_confidence` (members, n), both 0..1, higher = more confident.
    """
    network.to(device).eval()
    masks = network.sample_masks(members, seed)
    with torch.inference_mode(), one_thread():
        batches = [
            _run_batch(network, inputs[start : start + batch_size].to(device), masks)
            for start in range(0, max(1, len(inputs)), batch_size)
        ]
    return {key: np.concatenate([batch[key] for batch in batches], axis=axis) for key, axis in _AXES.items()}


_AXES = {"logits": 0, "features": 0, "mc_logits": 1, "head_confidence": 0, "mc_head_confidence": 1}


def _run_batch(network: ConfidenceNetwork, inputs: torch.Tensor, members: list[Masks]) -> Arrays:
    trunk = network.trunk(inputs)
    plain = network.finish(trunk)
    sampled = [network.finish(trunk, masks) for masks in members]
    tensors = {
        "logits": plain.logits,
        "features": plain.features,
        "mc_logits": torch.stack([member.logits for member in sampled]),
        "head_confidence": plain.confidence,
        "mc_head_confidence": torch.stack([member.confidence for member in sampled]),
    }
    return {key: tensor.float().cpu().numpy() for key, tensor in tensors.items()}
