"""The settings of a benchmark: a study with its data set and its training, and the files that they rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.spec.artefact import Artefact
from harness.spec.query import DataSet, QueryBenchmark, QueryStudy, RawFolder, Training
from harness.storage import file_id

if TYPE_CHECKING:
    import numpy as np


_TARGETS: dict[tuple[str, str, str], np.ndarray] = {}
"""By benchmark and data set: boards ask for them once a submission, and a data set can be large."""


class Setting:
    """A study of a benchmark with the data set and the training that it names."""

    def __init__(self, protocol: LoadedBenchmark, study: QueryStudy) -> None:
        benchmark = protocol.of(QueryBenchmark)
        self.protocol = protocol
        self.study = study
        self.dataset: DataSet = next(each for each in benchmark.source.datasets if each.id == study.dataset)
        self.training: Training = next(each for each in benchmark.trainings if each.id == study.training)

    @property
    def segments(self) -> bool:
        """Whether the task is segmentation; else it is classification."""
        return self.training.kind == "nnunet"

    def artefacts(self) -> dict[str, str | None]:
        """Every file of the setting and what is in it; of a file that is not here, what the benchmark says of it.

        Images of a user's own folder are named by their size: to read them all would take longer than a plan should.
        """
        found = {file.path: self._content(file) for file in self.files}
        if isinstance(self.dataset, RawFolder):
            folder = self.protocol.locate(self.dataset.folder)
            about = folder / "dataset.json"
            found[f"{self.dataset.folder}/dataset.json"] = file_id(about) if about.is_file() else None
            for path in sorted(path for path in folder.glob("*/*") if not path.name.startswith(".")):
                found[f"{self.dataset.folder}/{path.relative_to(folder).as_posix()}"] = f"{path.stat().st_size} bytes"
        return found

    @property
    def files(self) -> tuple[Artefact, ...]:
        """Files that the benchmark names."""
        return (*self.dataset.files, *([self.study.starts] if self.study.starts else []))

    def absent(self) -> tuple[str, ...]:
        """Files, or the folder, that are not on this machine."""
        absent = [file.path for file in self.files if not self.protocol.locate(file.path).is_file()]
        if isinstance(self.dataset, RawFolder):
            folder = self.protocol.locate(self.dataset.folder)
            absent += [] if (folder / "dataset.json").is_file() else [self.dataset.folder]
        return tuple(absent)

    def _content(self, file: Artefact) -> str | None:
        return self.protocol.verified(file)[1] if self.protocol.locate(file.path).is_file() else file.sha256

    def targets(self) -> np.ndarray:
        """True classes (n,) int64 of the held-out images, in the order of predictions. Classification only."""
        key = (self.protocol.hash, str(self.protocol.path), self.dataset.id)
        if key not in _TARGETS:
            from harness.tracks.query.classification.data import open_images

            _TARGETS[key] = open_images(self).test_targets
            _TARGETS[key].flags.writeable = False
        return _TARGETS[key]
