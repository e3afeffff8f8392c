"""What trains on the data of a setting, and what can be bought of it: chosen by the setting's task."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from harness.spec.method import PoolPart
from harness.tracks.query.campaign import Learner, Ledger
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np


_TARGETS: dict[tuple[str, str, str], np.ndarray] = {}
"""By benchmark and data set: boards ask for them once a submission, and a data set can be large."""


def open_ledger(setting: Setting, seed: int) -> Ledger:
    """What can be bought, without any network. Raises as `open_learner`."""
    if setting.segments:
        from harness.tracks.query.segmentation.ledger import PatchLedger

        return PatchLedger(setting, seed)
    return open_learner(setting, seed)


def open_learner(setting: Setting, seed: int, needs: Collection[PoolPart] = (), device: str = "cpu") -> Learner:
    """Opens the data, which can take minutes for large volumes.

    Raises UsageError or IntegrityError for data that cannot be used.
    """
    if setting.segments:
        from harness.tracks.query.segmentation.learner import SegmentationLearner

        return SegmentationLearner(setting, seed, needs, device)
    from harness.tracks.query.classification.learner import ClassificationLearner

    return ClassificationLearner(setting, seed, needs, device)


def held_out_targets(setting: Setting) -> np.ndarray:
    """True classes (n,) int64 of the held-out images, in the order of predictions. Classification only."""
    key = (setting.protocol.hash, str(setting.protocol.path), setting.dataset.id)
    if key not in _TARGETS:
        from harness.tracks.query.classification.data import open_images

        _TARGETS[key] = open_images(setting).test_targets
        _TARGETS[key].flags.writeable = False
    return _TARGETS[key]
