"""The files of a pool that a strategy may see of one image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.method import PoolPart

if TYPE_CHECKING:
    from harness.tracks.query.segmentation.plans import NetworkInput, NetworkPlan
    from harness.tracks.query.segmentation.prediction import Weights, Window


def write_offer(
    path: Path,
    window: Window,
    plan: NetworkPlan,
    case: NetworkInput,
    networks: Sequence[Weights],
    needs: Collection[PoolPart],
) -> None:
    """`<path>.probabilities.npy`, and `.features.npy` and `.image.npy` where they are needed; see `PoolOffer`.

    One network at a time: no more than the probabilities of one are in memory.
    """
    import numpy as np

    probabilities = None
    features = []
    for number, weights in enumerate(networks):
        member = window.probabilities(case, weights)
        if probabilities is None:
            shape = (len(networks), *member.shape)
            probabilities = np.lib.format.open_memmap(
                f"{path}.probabilities.npy", mode="w+", dtype=np.float32, shape=shape
            )
        probabilities[number] = member
        if "features" in needs:
            features.append(window.features(case, weights))
    if probabilities is not None:
        probabilities.flush()
    if features:
        np.save(f"{path}.features.npy", np.concatenate(features), allow_pickle=False)
    if "inputs" in needs:
        np.save(f"{path}.image.npy", plan.in_image(case.image, case.properties), allow_pickle=False)
