"""Which files a setting rests on, and what trains on them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from harness.data.catalog import Protocol
from harness.spec.errors import UsageError
from harness.spec.method import PoolPart
from harness.spec.query import DataSet, QueryBenchmark, QueryStudy, RawFolder, Training
from harness.storage import file_id
from harness.tracks.query.campaign import Learner

if TYPE_CHECKING:
    import numpy as np


class Setting:
    """A study of a benchmark with the data set and the training that it names."""

    def __init__(self, protocol: Protocol, study: QueryStudy) -> None:
        benchmark = protocol.of(QueryBenchmark)
        self.protocol = protocol
        self.study = study
        self.dataset: DataSet = next(each for each in benchmark.source.datasets if each.id == study.dataset)
        self.training: Training = next(each for each in benchmark.trainings if each.id == study.training)

    @property
    def segments(self) -> bool:
        """Whether the task is segmentation; else it is classification."""
        return self.training.kind == "nnunet"

    def artefacts(self) -> dict[str, str]:
        """Every file of the setting and what is in it. Raises UsageError for a missing one.

        Images of a user's own folder are named by their size: to read them all would take longer than a plan should.
        """
        named = [*self.dataset.files, *([self.study.starts] if self.study.starts else [])]
        found = {file.path: self.protocol.verified(file)[1] for file in named}
        if isinstance(self.dataset, RawFolder):
            folder = self.protocol.path.parent / self.dataset.folder
            if not (folder / "dataset.json").is_file():
                raise UsageError(
                    f"{folder} has no dataset.json; give the folder of a data set in nnU-Net's raw format."
                )
            found[f"{self.dataset.folder}/dataset.json"] = file_id(folder / "dataset.json")
            for path in sorted(folder.glob("*/*")):
                found[path.relative_to(self.protocol.path.parent).as_posix()] = f"{path.stat().st_size} bytes"
        return found

    def learner(self, seed: int, needs: Collection[PoolPart], device: str) -> Learner:
        """Opens the data: seconds for large sets. Raises UsageError or IntegrityError for data that cannot be used."""
        if self.segments:
            from harness.tracks.query.segmentation.learner import SegmentationLearner

            return SegmentationLearner(self, seed, needs, device)
        from harness.tracks.query.classification.learner import ClassificationLearner

        return ClassificationLearner(self, seed, needs, device)

    def targets(self) -> np.ndarray:
        """True classes (n,) int64 of the held-out images, in the order of predictions. Classification only."""
        from harness.tracks.query.classification.data import open_images

        return open_images(self).test_targets
