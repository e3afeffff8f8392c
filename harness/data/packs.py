"""Reader for inference packs: every file is checked against its hash before any of it is believed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.spec.errors import UsageError, first_problem, unknown
from harness.spec.pack import INDEX, Pack, PackedModel, input_path, network_path, output_path, shared_path
from harness.storage import IntegrityError, file_id, read_json, read_tensors

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "pack.json"
LABELS = "labels"
INPUTS = "inputs"


class OpenPack:
    """The files of a pack. `document` is what stands in its `pack.json`."""

    def __init__(self, folder: Path, document: Pack) -> None:
        self.document = document
        self._folder = folder
        self._models = {model.id: model for model in document.models}
        self._proven: dict[str, tuple[int, int]] = {}
        self._read = lru_cache(maxsize=2)(self._outputs)  # of the two sets of a study; more could fill the memory

    def outputs(self, model: str, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Label-free arrays of a model on a set, with samples along the first axis (the second in `mc_...`), and
        labels (n,). Raises UsageError for what the pack does not have, IntegrityError for damaged files."""
        if name not in self.document.samples[self.model(model).id]:
            raise unknown(f"set of {model} in {self._folder}", name, self.document.samples[model])
        arrays, labels = self._read(model, name)
        return dict(arrays), labels

    def shared(self, model: str) -> dict[str, np.ndarray]:
        """`weight` and `bias` of the last layer, where they are known."""
        path = shared_path(self.model(model).id)
        return self._tensors(path) if path in self.document.files else {}

    def inputs(self, name: str) -> np.ndarray | None:
        """What the networks were given, where it was packed."""
        path = input_path(name)
        return self._tensors(path)[INPUTS] if path in self.document.files else None

    def network(self, model: str) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """How a network is built, and its weights, where they were packed."""
        description = self.model(model).network
        return None if description is None else (description, self._tensors(network_path(model)))

    def sample_ids(self, name: str) -> list[str]:
        """(n,) names of the samples of a set. Raises IntegrityError for a damaged index."""
        import pyarrow
        from pyarrow import parquet

        self._proof(INDEX)
        try:
            table = parquet.read_table(self._folder / INDEX, filters=[("set", "=", name), ("model", "=", "")])
            ordered = table.sort_by("row")
            ids: list[str] = ordered.column("sample").to_pylist()
        except (pyarrow.ArrowException, KeyError, OSError) as error:
            raise IntegrityError(f"{self._folder / INDEX} is no index of a pack: {error}.") from error
        return ids

    def hashes(self, model: str) -> dict[str, str]:
        """sha256 of every file that the numbers of a model rest on, as `pack.json` states them."""
        own = {output_path(model, name) for name in self.document.samples[self.model(model).id]}
        own |= {shared_path(model), network_path(model), *map(input_path, self.document.samples[model])}
        return {path: file.sha256 for path, file in self.document.files.items() if path in own}

    def model(self, name: str) -> PackedModel:
        if name not in self._models:
            raise unknown(f"model in {self._folder}", name, self._models)
        return self._models[name]

    def verify(self) -> None:
        """Read every file. Raises IntegrityError for the first that is missing, changed or not as its neighbours."""
        for path in self.document.files:
            self._proof(path)
        for model, sets in self.document.samples.items():
            for name in sets:
                self._outputs(model, name)

    def _outputs(self, model: str, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        path = output_path(model, name)
        arrays = self._tensors(path)
        count = self.document.samples[model][name]
        if LABELS not in arrays or not {"logits", "probabilities", "features", "predictions"} & arrays.keys():
            raise IntegrityError(f"{self._folder / path} holds {', '.join(sorted(arrays))}: no outputs with labels.")
        for key, array in arrays.items():
            axis = 1 if key.startswith("mc_") else 0
            if array.ndim <= axis or array.shape[axis] != count:
                raise IntegrityError(
                    f"{self._folder / path}: {key} has shape {array.shape}, but {model} has {count} samples of {name}."
                )
        return arrays, arrays.pop(LABELS)

    def _tensors(self, path: str) -> dict[str, np.ndarray]:
        self._proof(path)
        return read_tensors(self._folder / path)

    def _proof(self, path: str) -> None:
        """Hash a file once; again where its size or time says that it is another."""
        where, expected = self._folder / path, self.document.files[path]
        if not where.is_file():
            raise IntegrityError(f"{where} is missing, but {MANIFEST} lists it; fetch or make the pack again.")
        found = where.stat()
        if self._proven.get(path) == (found.st_size, found.st_mtime_ns):
            return
        if found.st_size != expected.bytes or file_id(where) != expected.sha256:
            raise IntegrityError(f"{where} is not the file that {MANIFEST} lists; fetch or make the pack again.")
        self._proven[path] = (found.st_size, found.st_mtime_ns)


def open_pack(path: Path) -> OpenPack:
    """A pack by its folder or its `pack.json`. Raises UsageError if there is none, IntegrityError if it is damaged."""
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"{path} does not exist; `harness data pack` makes a folder with a {MANIFEST}.")
    try:
        document = Pack.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(f"{path} describes no inference pack: {first_problem(error)}") from error
    return OpenPack(path.parent, document)
