"""Attribution maps and their scores as single records, from whatever made them, and how a map becomes bytes.

A map is kept as half-precision numbers and a power of two, `map = scale * values`, chosen so that half precision is used
where the map's values are: a value loses at most 2^-11 of itself, however small or large the map is as a whole; one below
2^-28 of the map's largest loses at most 2^-39 of that largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.spec.method import Modality

if TYPE_CHECKING:
    import numpy as np

_TOP = 15  # largest magnitudes lie in [2^14, 2^15); half precision ends at 65504


@dataclass(frozen=True)
class MapRecord:
    """One map (1 or c, *spatial) of one observation: what in it speaks for the class `target`.

    dataset, model, method: ids. observation: its id within the data set, the same for all models and methods. target:
    the class that the map speaks about; prediction: what the model says; None where nobody has recorded it.
    """

    modality: Modality
    dataset: str
    model: str
    method: str
    observation: str
    target: int | None
    prediction: int | None
    map: np.ndarray


@dataclass(frozen=True)
class ScoreRecord:
    """One metric of one map; ids as in `MapRecord`. The value is None where the metric has no meaning for the sample."""

    modality: Modality
    dataset: str
    model: str
    method: str
    observation: str
    metric: str
    metric_version: str
    direction: Literal["higher", "lower"]
    value: float | None


class StoredMap(NamedTuple):
    """values: little-endian float16 in C order; map = scale * values."""

    values: bytes
    scale: float


def encode_map(map: np.ndarray) -> StoredMap | None:
    """A map as it is stored; None for one that is not finite, or empty."""
    import numpy as np

    exact = np.asarray(map, dtype=np.float64)
    if not exact.size or not np.isfinite(exact).all():
        return None
    exponent = int(np.frexp(np.abs(exact).max())[1]) - _TOP if exact.any() else 0
    values = np.ldexp(exact, -exponent).astype("<f2")
    return StoredMap(values.tobytes(), float(np.ldexp(1.0, exponent)))


def decode_map(row: Mapping[str, Any]) -> np.ndarray | None:
    """The map of a row with `map`, `scale` and `shape`, float32 as methods answer; None where it is missing.

    Raises ValueError if the shape is not that of the values.
    """
    import numpy as np

    if row["map"] is None:
        return None
    values = np.frombuffer(row["map"], dtype="<f2").astype(np.float64) * float(row["scale"])
    largest = float(np.finfo(np.float32).max)  # the very largest may have been rounded up, out of float32's range
    map = values.clip(-largest, largest).astype(np.float32)
    return map.reshape([int(length) for length in row["shape"]])
