"""Released predictions as the source of a benchmark: probabilities and labels, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.data.manifests import Manifest, find_dataset
from harness.data.predictions import check_against, read_labels, read_probabilities
from harness.data.store import reference, set_folder
from harness.spec.errors import UsageError
from harness.spec.grids import Model, experiment_of
from harness.spec.predictions import PredictedModel, PredictionSource
from harness.storage import file_id
from harness.tracks.confidence.model_outputs import ABSENT, ModelOutputs, SourceDefaults

if TYPE_CHECKING:
    import numpy as np


class PredictedOutputs(SourceDefaults):
    """See `harness.tracks.confidence.model_outputs.OutputSource`."""

    def __init__(self, protocol: LoadedBenchmark, source: PredictionSource) -> None:
        self._protocol, self._source = protocol, source
        self._hash = cache(file_id)
        self._labels = cache(read_labels)
        self._read = lru_cache(maxsize=4)(self._load)

    def artefacts(self, model: Model) -> dict[str, str]:
        """Of both splits, the predictions by the names of their files, and the labels."""
        try:
            pairs = [self._files(model, name) for name in self._sets(model)]
        except UsageError:
            return {"predictions": ABSENT}
        return {path.relative_to(self._folder).as_posix(): self._hash(path) for pair in pairs for path in pair}

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        absent = dict.fromkeys(
            model.experiment
            for model in models
            if isinstance(model, PredictedModel) and self.artefacts(model) == {"predictions": ABSENT}
        )
        return tuple(f"{self._source.dataset}: predictions or labels of {name}" for name in absent)

    def ready(self, model: Model, name: str) -> bool:
        return self.artefacts(model) != {"predictions": ABSENT}

    def samples(self, model: Model, name: str) -> ModelOutputs:
        return self._read(model, name)

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        return {}

    def offers(self, model: Model) -> frozenset[str]:
        return frozenset({"probabilities"})

    def absent(self) -> Mapping[str, str]:
        return {
            name: f"only predictions were released, which come without {what}"
            for name, what in (("inputs", "the images"), ("model", "the classifier"))
        }

    def _sets(self, model: Model) -> tuple[str, ...]:
        return experiment_of(self._source.experiments, model).set_names

    def _load(self, model: Model, name: str) -> ModelOutputs:
        path, beside = self._files(model, name)
        probabilities, labels = read_probabilities(path), self._labels(beside)
        check_against(labels, probabilities, path)
        return ModelOutputs({"probabilities": probabilities}, labels)

    def _files(self, model: Model, name: str) -> tuple[Path, Path]:
        """Predictions and labels of a set. Raises UsageError where they are not here, or cannot be told apart."""
        assert isinstance(model, PredictedModel)
        named = {"set": model.experiment, "split": self._source.split_of(name)}
        pattern = self._source.files.format(**named, run=model.files)
        found = [path for path in self._predictions if fnmatchcase(path.name.lower(), pattern.lower())]
        labels = self._folder / self._source.labels.format(**named)
        if len(found) > 1:
            raise UsageError(
                f"{self._folder} has several files for {model.id}, {found[0].name} and {found[1].name}; which is meant "
                f"must be said in a benchmark of your own, by `kinds` of {self._protocol.path.name}."
            )
        if not found or not labels.is_file():
            lacking = str(labels.relative_to(self._folder)) if found else pattern
            raise UsageError(
                f"{self._source.dataset} has no file {lacking} for {model.id} in {self._folder}; run: "
                f"harness data fetch {reference(self._manifest)} --file '*{model.experiment}*'"
            )
        return found[0], labels

    @cached_property
    def _predictions(self) -> tuple[Path, ...]:
        return tuple(sorted(self._folder.rglob("*.csv")))

    @cached_property
    def _folder(self) -> Path:
        return set_folder(self._manifest)

    @cached_property
    def _manifest(self) -> Manifest:
        name = self._source.dataset
        return find_dataset(self._protocol.path.parent / name if name.endswith(".toml") else name)
