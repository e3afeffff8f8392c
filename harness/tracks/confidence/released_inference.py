"""Run a released classifier over a set that may be too large to be held as images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.tracks.zoo.fdshifts import ReleasedClassifier

_BATCH_PIXELS = 1 << 22
"""A batch holds about so many pixels: 83 images of 224 x 224, which fit any network here into 8 GB."""
_LARGEST_BATCH = 512


@dataclass(frozen=True)
class InferenceJob:
    """The images to run, and the precision in which outputs are kept. dtype: float16 or float32."""

    count: int
    read: Callable[[int, int], np.ndarray]
    """Prepared images (n, c, h, w) float32 of the positions from the first up to the second."""
    device: str = "cpu"
    dtype: str = "float32"


def run_plain(network: ReleasedClassifier, images: InferenceJob) -> dict[str, np.ndarray]:
    """`logits` (n, classes), `features` (n, f), and `head_confidence` (n,) where the network has a head.

    Raises IntegrityError for outputs that are not finite.
    """
    kept = _OutputArrays(images)
    with _running(network, images.device):
        for start, inputs in _batches(images):
            said = network.outputs(inputs)
            kept.put(start, "logits", said.logits)
            kept.put(start, "features", said.features)
            kept.put(start, "head_confidence", said.confidence)
    return kept.arrays


def run_members(network: ReleasedClassifier, images: InferenceJob, *, members: int, seed: int) -> dict[str, np.ndarray]:
    """`mc_logits` (members, n, classes), and `mc_head_confidence` (members, n) where the network has a head.

    Each member is one fixed sub-network, the same for all samples. Errors as `run_plain`.
    """
    from harness.tracks.zoo.dropout import sub_network

    kept = _OutputArrays(images, members)
    with _running(network, images.device):
        for start, inputs in _batches(images):
            for number in range(members):
                with sub_network(network, seed, number):
                    said = network.outputs(inputs)
                kept.put(start, "mc_logits", said.logits, number)
                kept.put(start, "mc_head_confidence", said.confidence, number)
    return kept.arrays


class _OutputArrays:
    """Arrays that are filled batch by batch; their widths are known from the first one."""

    def __init__(self, images: InferenceJob, members: int | None = None) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._images = images
        self._before = () if members is None else (members,)

    def put(self, start: int, name: str, values: Tensor | None, number: int | None = None) -> None:
        import numpy as np

        if values is None:
            return
        found = values.float().cpu().numpy()
        if name not in self.arrays:
            self.arrays[name] = np.empty((*self._before, self._images.count, *found.shape[1:]), self._images.dtype)
        with np.errstate(over="ignore"):
            rounded = found.astype(self._images.dtype)
        if not np.isfinite(rounded).all():
            raise IntegrityError(
                f"the network's {name} are not finite in {self._images.dtype}: wrong weights or inputs"
            )
        target = self.arrays[name] if number is None else self.arrays[name][number]
        target[start : start + len(rounded)] = rounded


@contextmanager
def _running(network: ReleasedClassifier, device: str) -> Iterator[None]:
    """The network in evaluation mode on a device, without gradients, and with the arithmetic of float32 throughout."""
    import torch

    network.to(device).eval()
    allowed, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def _batches(images: InferenceJob) -> Iterator[tuple[int, Tensor]]:
    """(start, inputs) of batches whose size depends on the size of the images alone."""
    import torch

    if not images.count:
        raise IntegrityError("a set of images is empty")
    first = images.read(0, 1)
    size = min(_LARGEST_BATCH, max(1, _BATCH_PIXELS // (first.shape[2] * first.shape[3])))
    for start in range(0, images.count, size):
        yield start, torch.from_numpy(images.read(start, min(start + size, images.count))).to(images.device)
