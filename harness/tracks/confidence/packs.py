"""An inference pack as the source of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.catalog import LoadedBenchmark
from harness.data.manifests import find_dataset
from harness.data.packs import OpenPack, open_pack
from harness.data.store import dataset_folder
from harness.spec.errors import unknown
from harness.spec.grids import Model
from harness.spec.sources import PackSource
from harness.storage import IntegrityError, file_id
from harness.tracks.confidence.model_outputs import ModelOutputs, SourceDefaults

if TYPE_CHECKING:
    import numpy as np


class PackedOutputs(SourceDefaults):
    """See `harness.tracks.confidence.model_outputs.OutputSource`."""

    def __init__(self, protocol: LoadedBenchmark, source: PackSource) -> None:
        self._protocol = protocol
        self._source = source

    def artefacts(self, model: Model) -> dict[str, str]:
        return self._pack.hashes(model.id)

    def samples(self, model: Model, name: str) -> ModelOutputs:
        return ModelOutputs(*self._pack.outputs(model.id, name))

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        return self._pack.shared(model.id)

    def inputs(self, name: str) -> np.ndarray | None:
        return self._pack.inputs(name)

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        return self._pack.network(model.id)

    def sample_ids(self, name: str) -> Sequence[str] | None:
        return self._pack.sample_ids(name)

    def absent(self) -> Mapping[str, str]:
        how = "make it with --inputs, or take the benchmark that it was made of"
        document = self._pack.document
        why = {} if document.inputs else {"inputs": f"the inference pack holds outputs, not the inputs; {how}"}
        if all(model.network is None for model in document.models):
            why["model"] = f"the inference pack holds outputs, not the networks; {how}"
        return why

    @cached_property
    def _pack(self) -> OpenPack:
        """Raises UsageError for what it does not have, IntegrityError where it is not what the benchmark says of it."""
        path = self._path()
        pack = open_pack(path)
        for model in self._source.models:
            packed = pack.model(model.id)
            for name in self._source.sets:
                if name not in pack.document.samples[model.id]:
                    raise unknown(f"set of {model.id} in {path}", name, pack.document.samples[model.id])
            if (packed.family, packed.seed, packed.head) != (model.family, model.seed, model.head):
                raise IntegrityError(
                    f"{path}: {model.id} is packed with family {packed.family}, seed {packed.seed} and head "
                    f"{packed.head}; {self._protocol.path} says something else of it."
                )
        return pack

    def _path(self) -> Path:
        """Path of `pack.json`: among the files of a fetched data set, or beside the benchmark."""
        if self._source.dataset is None:
            return self._protocol.verified(self._source.pack)[0]
        path = dataset_folder(find_dataset(self._source.dataset)) / self._source.pack.path
        pinned = self._source.pack.sha256
        if not path.is_file() or (pinned is not None and file_id(path) != pinned):
            raise IntegrityError(
                f"{path} is not the pack that {self._protocol.path} names; fetch {self._source.dataset} again."
            )
        return path
