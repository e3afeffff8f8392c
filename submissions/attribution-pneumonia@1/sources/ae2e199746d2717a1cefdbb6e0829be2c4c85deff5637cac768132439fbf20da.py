"""A reference row: a map that knows the input but not the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import explainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.methods.context import Context


@explainer(version="1.0", reference=True, citation="Adebayo et al., NeurIPS 2018")
def edge_map(model: nn.Module, inputs: Tensor, targets: Tensor, context: Context) -> Tensor:
    """Magnitude of the input's Sobel gradient, the mean over channels; of points, the distance to their centroid."""
    import numpy as np
    import torch
    from scipy.ndimage import generic_gradient_magnitude, sobel

    if context.modality == "point-cloud":
        distances: Tensor = (inputs - inputs.mean(dim=2, keepdim=True)).norm(dim=1, keepdim=True)
        return distances
    samples = inputs.cpu().numpy()
    edges = [np.mean([generic_gradient_magnitude(channel, sobel) for channel in each], axis=0) for each in samples]
    return torch.from_numpy(np.stack(edges)[:, None]).to(inputs)
