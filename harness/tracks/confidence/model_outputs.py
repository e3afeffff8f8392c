"""What the models of a benchmark said, by model and sample set: what every kind of source provides."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.spec.grids import Model
from harness.spec.released import CORRUPTIONS, SEVERITIES
from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np

ABSENT = "absent"
"""Stands for the hash of what is not on this machine, so that a run can be planned."""


NO_CLASS = -1
"""Label of samples of no class that the model was trained on."""


@dataclass(frozen=True)
class ModelOutputs:
    """What a model said about n samples (label-free arrays), and their labels (n,).

    Where there are neither logits nor probabilities, `predictions` (n,) are the predicted classes, of which there are
    `stated_classes`, if that is known.
    """

    arrays: dict[str, np.ndarray]
    labels: np.ndarray
    stated_classes: int | None = None

    @property
    def classes(self) -> int | None:
        """How many classes the model knows, None where nothing says it."""
        for name in ("logits", "probabilities"):
            if name in self.arrays:
                return int(self.arrays[name].shape[1])
        return self.stated_classes

    def take(self, rows: np.ndarray | slice) -> ModelOutputs:
        """Some of the samples. In arrays of MC members the samples are the second axis."""
        arrays = {
            name: array[:, rows] if name.startswith("mc_") else array[rows] for name, array in self.arrays.items()
        }
        return ModelOutputs(arrays, self.labels[rows], self.stated_classes)


class OutputSource(Protocol):
    """What every kind of source provides."""

    def artefacts(self, model: Model) -> dict[str, str]:
        """Name -> sha256 of every file that this model's numbers rest on."""
        ...

    def samples(self, model: Model, name: str) -> ModelOutputs: ...

    def shared(self, model: Model) -> dict[str, np.ndarray]:
        """`weight` and `bias` of the last layer, where they are known; of DeepGamblers networks those of the reservation
        output too, as `reservation_weight` (1, f) and `reservation_bias` (1,)."""
        ...

    def inputs(self, name: str) -> np.ndarray | None:
        """Images of a set as the network takes them, where there are any."""
        ...

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """How to build the network, and its weights, where it can be run."""
        ...

    def ready(self, model: Model, name: str) -> bool:
        """Whether `samples` needs no computation."""
        ...

    def sample_ids(self, name: str) -> Sequence[str] | None:
        """(n,) names by which samples are known outside, where there are any."""
        ...

    def held(self, model: Model) -> int | None:
        """Bytes of the arrays that are read of the model, where that is known before they are."""
        ...

    def offers(self, model: Model) -> frozenset[str] | None:
        """Names of the arrays that methods are given of the model, where they are known before anything is read."""
        ...

    def absent(self) -> Mapping[str, str]:
        """Of `inputs` and `model`, those that are offered to no method, and why, in a sentence without its end."""
        ...

    def release(self) -> None:
        """Let go of what can be read again."""
        ...

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        """Data sets, and what of them, that these models rest on and that are not on this machine."""
        ...


class SourceDefaults:
    """What a source offers unless it says otherwise: outputs alone, all of them at hand. See `OutputSource`."""

    def inputs(self, name: str) -> np.ndarray | None:
        return None

    def network(self, model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        return None

    def ready(self, model: Model, name: str) -> bool:
        return True

    def sample_ids(self, name: str) -> Sequence[str] | None:
        return None

    def held(self, model: Model) -> int | None:
        return None

    def offers(self, model: Model) -> frozenset[str] | None:
        return None

    def absent(self) -> Mapping[str, str]:
        return {
            "inputs": "this benchmark's source is stored outputs, which come without the inputs",
            "model": "this benchmark's source is stored outputs, which come without the network",
        }

    def release(self) -> None:
        pass

    def missing(self, models: Sequence[Model]) -> tuple[str, ...]:
        return ()


def rows_of_severity(count: int, severity: int, name: str) -> np.ndarray:
    """Positions of one severity in the order corruption, severity, image."""
    import numpy as np

    if count % (CORRUPTIONS * SEVERITIES):
        raise IntegrityError(
            f"set {name}: {count} samples are not {CORRUPTIONS} corruptions at {SEVERITIES} severities; "
            "leave out `severity` if they are laid out in another way"
        )
    return np.arange(count).reshape(CORRUPTIONS, SEVERITIES, -1)[:, severity - 1].ravel()


def unpacked(path: Path) -> int:
    """Bytes of a file, of an archive such as `.npz` those of what is in it, as far as its own list says."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())
