"""The stored answers of a run, and what they are worth: read and checked once, measured once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.array_cache import read_cached, write_cached
from harness.execution.environment import code_hash
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.storage import IntegrityError, array_id, content_id, read_arrays
from harness.tracks.base import Answers, Measurement, Score, Track

if TYPE_CHECKING:
    import numpy as np

OUTPUTS = "outputs"
_KEPT_BYTES = 1 << 28
_NAMES, _COUNTS, _SCORE, _ARRAY = "names", "counts", "score.", "array."


def outputs_path(folder: Path, unit_id: str) -> Path:
    """Where the method's answers of a unit are stored."""
    return folder / OUTPUTS / outputs_name(unit_id)


def outputs_name(unit_id: str) -> str:
    return f"{unit_id[:16]}.npz"


def outputs_id(outputs: Answers) -> str:
    """Content hash of a unit's answers, whatever file they are in."""
    return content_id({name: array_id(array) for name, array in outputs.items()})


class StoredAnswers(Mapping[str, Answers]):
    """Answers by unit id, of the units that have scores. Read and checked when first asked for, kept while they are small.

    Raises IntegrityError for answers that are not those that were scored.
    """

    def __init__(self, folder: Path, results: Iterable[UnitResult]) -> None:
        self._folder = folder
        self._results = {each.unit: each for each in results if each.status == "ok"}
        self._kept: dict[str, Answers] = {}
        self._bytes = 0

    def __getitem__(self, unit_id: str) -> Answers:
        if unit_id not in self._kept:
            outputs = self._read(self._results[unit_id])
            size = sum(array.nbytes for array in outputs.values())
            if self._bytes + size > _KEPT_BYTES:
                return outputs
            self._bytes += size
            self._kept[unit_id] = outputs
        return self._kept[unit_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def _read(self, result: UnitResult) -> Answers:
        path = outputs_path(self._folder, result.unit)
        if not path.is_file():
            raise IntegrityError(
                f"{path}, the stored answers of {result.study} on {result.model}, is missing; use --fresh to run again."
            )
        try:
            outputs = read_arrays(path)
        except IntegrityError as error:
            raise IntegrityError(f"{str(error).rstrip('.')}; use --fresh to run again.") from error
        if outputs_id(outputs) != result.outputs:
            raise IntegrityError(f"{path} was changed after it was scored; use --fresh to run again.")
        return outputs


class ByUnit(Mapping[Unit, Answers]):
    """The same by unit."""

    def __init__(self, answers: StoredAnswers, units: Mapping[str, Unit]) -> None:
        self._answers = answers
        self._ids = {units[key]: key for key in answers}

    def __getitem__(self, unit: Unit) -> Answers:
        return self._answers[self._ids[unit]]

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def measured(track: Track, unit: Unit, outputs: Answers, identity: str | None = None) -> Measurement:
    """`Track.measure`, kept in the cache by the unit, the id of its outputs and the code that measures."""
    key = content_id([unit.canonical(), identity or outputs_id(outputs), code_hash(track)])
    kept = read_cached("measurements", key)
    if kept is not None:
        return _unpacked(kept)
    found = track.measure(unit, outputs)
    write_cached("measurements", key, _packed(found))
    return found


def _packed(measurement: Measurement) -> dict[str, np.ndarray]:
    import numpy as np

    scores = measurement.scores
    return {
        _NAMES: np.array(tuple(scores), dtype=np.str_),  # in the order of tables, which a file of arrays does not keep
        _COUNTS: np.array([score.n for score in scores.values()], dtype=np.int64),
        **{f"{_SCORE}{name}": score.draws for name, score in scores.items()},
        **{f"{_ARRAY}{name}": array for name, array in measurement.arrays.items()},
    }


def _unpacked(arrays: Mapping[str, np.ndarray]) -> Measurement:
    counts = zip(arrays[_NAMES].tolist(), arrays[_COUNTS].tolist(), strict=True)
    others = {name.removeprefix(_ARRAY): array for name, array in arrays.items() if name.startswith(_ARRAY)}
    return Measurement({name: Score(arrays[_SCORE + name], n) for name, n in counts}, others)
