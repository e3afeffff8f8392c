"""What trains on the data of a setting, and what can be bought of it: chosen by the setting's task."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.spec.method import PoolPart
from harness.tracks.query.campaign import Learner, Ledger
from harness.tracks.query.sources import Setting


def open_ledger(setting: Setting, seed: int) -> Ledger:
    """What can be bought, without any network. Raises as `open_learner`."""
    if setting.segments:
        from harness.tracks.query.segmentation.ledger import PatchLedger

        return PatchLedger(setting, seed)
    return open_learner(setting, seed)


def open_learner(
    setting: Setting, seed: int, needs: Collection[PoolPart] = (), device: str = "cpu", kept: Path | None = None
) -> Learner:
    """Opens the data, which can take minutes for large volumes. `kept`: a folder for predicted segmentations.

    Raises UsageError or IntegrityError for data that cannot be used.
    """
    if setting.segments:
        from harness.tracks.query.segmentation.learner import SegmentationLearner

        return SegmentationLearner(setting, seed, needs, device, kept)
    from harness.tracks.query.classification.learner import ClassificationLearner

    return ClassificationLearner(setting, seed, needs, device)
