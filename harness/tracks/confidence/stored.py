"""Outputs that others have computed: experiment folders in the FD-Shifts layout, and a user's own tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.data.fdshifts import FDShiftsFolder, read_fdshifts, stored_files
from harness.data.tables import OutputTable, read_results, read_table, rows_of
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError
from harness.spec.grids import Model
from harness.spec.sources import FDShiftsSource, FDShiftsStudy, GridFolder, ResultsSource, TableSource
from harness.storage import IntegrityError, file_id
from harness.tracks.confidence.model_outputs import ABSENT, ModelOutputs, SourceDefaults, rows_of_severity, unpacked

if TYPE_CHECKING:
    import numpy as np


class FolderOutputs(SourceDefaults):
    """Experiment folders in the FD-Shifts layout."""

    def __init__(self, protocol: LoadedBenchmark, source: FDShiftsSource | FDShiftsStudy) -> None:
        self._paths = {model.id: protocol.locate(model.folder) for model in source.models}
        self._source = source
        self._read: Callable[[str], FDShiftsFolder] = lru_cache(maxsize=2)(
            lambda model: read_fdshifts(self._paths[model])
        )

    def artefacts(self, model: Model) -> dict[str, str]:
        if self._planned_only(model):
            return {"folder": ABSENT}
        return {path.name: file_id(path) for path in stored_files(self._paths[model.id])}

    def held(self, model: Model) -> int | None:
        return None if self._planned_only(model) else sum(map(unpacked, stored_files(self._paths[model.id])))

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        return tuple(model.folder for model in models if isinstance(model, GridFolder) and self._planned_only(model))

    def ready(self, model: Model, name: str) -> bool:
        return not self._planned_only(model)

    def _planned_only(self, model: Model) -> bool:
        """A study of many folders can be planned before they are there."""
        return isinstance(self._source, FDShiftsStudy) and not self._paths[model.id].is_dir()

    def samples(self, model: Model, name: str) -> ModelOutputs:
        folder = self._read(model.id)
        if isinstance(self._source, FDShiftsSource) and name == self._source.train:
            return self._train(folder, model)
        chosen = self._source.sets[name]
        index = chosen.dataset_idx
        if index not in folder.sets:
            present = ", ".join(map(str, sorted(folder.sets)))
            raise IntegrityError(
                f"{self._paths[model.id]}: set {name} is dataset_idx {index}, but only {present} exist"
            )
        samples = ModelOutputs(folder.sets[index], folder.labels[index])
        if chosen.severity is None:
            return samples
        return samples.take(rows_of_severity(len(samples.labels), chosen.severity, name))

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        layer = dict(self._read(model.id).last_layer)
        if "reservation_weight" in layer and model.head != "deep-gamblers":
            raise IntegrityError(
                f"{self._paths[model.id]}: last_layer.npz has one row more than there are classes, as DeepGamblers "
                f'networks have; say head = "deep-gamblers" of {model.id}, or store the last layer of its classes'
            )
        return layer

    def _train(self, folder: FDShiftsFolder, model: Model) -> ModelOutputs:
        """Training rows have features and labels; logits follow from the last layer where it is stored."""
        if folder.train is None:
            raise IntegrityError(f"{self._paths[model.id]} has no train_features.npz, which the benchmark asks for")
        arrays = {"features": folder.train["features"]}
        if folder.last_layer:
            arrays["logits"] = arrays["features"] @ folder.last_layer["weight"].T + folder.last_layer["bias"]
        return ModelOutputs(arrays, folder.train["labels"])


class TableOutputs(SourceDefaults):
    """A user's tables of outputs or results, one for each model."""

    def __init__(self, protocol: LoadedBenchmark, source: TableSource | ResultsSource) -> None:
        self._protocol = protocol
        self._models = {model.id: model for model in source.models}
        self._source = source
        self._read = lru_cache(maxsize=2)(self._load)
        self._place_read = lru_cache(maxsize=2)(self._path)  # of tables that are read: it no longer changes

    def artefacts(self, model: Model) -> dict[str, str]:
        path, found = self._protocol.verified(self._models[model.id].table)
        return {path.name: found}

    def held(self, model: Model) -> int | None:
        return unpacked(self._path(model.id))

    def samples(self, model: Model, name: str) -> ModelOutputs:
        table = self._read(model.id)
        rows = rows_of(table, self._source.sets[name], self._place_read(model.id))
        classes = self._source.classes if isinstance(self._source, ResultsSource) else None
        return ModelOutputs(dict(table.arrays), table.labels, classes).take(_as_slice(rows))

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        return {}

    def release(self) -> None:
        self._read.cache_clear()
        self._place_read.cache_clear()

    def sample_ids(self, name: str) -> Sequence[str] | None:
        first = next(iter(self._models))
        table = self._read(first)
        if table.ids is None:
            return None
        ids: list[str] = table.ids.take(rows_of(table, self._source.sets[name], self._path(first))).to_pylist()
        return ids

    def offers(self, model: Model) -> frozenset[str]:
        if isinstance(self._source, ResultsSource):
            return frozenset({"head_confidence", "predictions"})
        return frozenset(self._source.arrays_of(model))

    def _path(self, model: str) -> Path:
        return self._protocol.locate(self._models[model].table.path)

    def _load(self, model: str) -> OutputTable:
        path = self._protocol.verified(self._models[model].table)[0]
        try:
            if isinstance(self._source, ResultsSource):
                table = read_results(path, self._source)
            else:
                table = read_table(path, self._source, self._models[model])
        except IntegrityError as error:  # it is the file that was pinned, if it was: its author can mend it
            raise UsageError(f"{str(error).rstrip('.')}.") from error
        self._keep_apart(table, path)
        self._check_ids(model, table, path)
        return table

    def _check_ids(self, model: str, table: OutputTable, path: Path) -> None:
        """A set is the same samples for every model: where tables name them, row by row."""
        first = next(iter(self._models))
        other = None if table.ids is None or model == first else self._read(first).ids
        if other is not None and not other.equals(table.ids):
            raise UsageError(
                f"{path} names other samples than {self._path(first)}, or the same in another order; sort the rows of "
                "both by their ids."
            )

    def _keep_apart(self, table: OutputTable, path: Path) -> None:
        """What methods learn from must not be tested on, however the two sets are named."""
        import numpy as np

        benchmark = self._protocol.of(ConfidenceBenchmark)
        tested = {name for study in benchmark.compared for name in study.sets}
        for reference in benchmark.reference.sets:
            learnt = np.zeros(len(table.labels), dtype=bool)
            learnt[rows_of(table, self._source.sets[reference], path)] = True
            for name in sorted(tested):
                common = int(np.count_nonzero(learnt[rows_of(table, self._source.sets[name], path)]))
                if common:
                    raise UsageError(
                        f"{path}: the reference set {reference} and the tested set {name} share {common} samples."
                    )


def _as_slice(rows: np.ndarray) -> np.ndarray | slice:
    """Rows in their order; as a slice, which takes no copy, where they follow each other."""
    first, end = int(rows[0]), int(rows[-1]) + 1
    return slice(first, end) if end - first == len(rows) else rows
