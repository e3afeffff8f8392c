"""Attribution maps and their scores as single records, from whatever made them, and how a map becomes bytes.

A map is kept as half-precision numbers and a power of two, `map = scale * values`, chosen so that its largest value is
far from the largest that half precision holds: values lose at most 2^-11 of themselves, however small or large the map
is as a whole, and those below 2^-30 of the largest are 0.
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
    """values: little-endian float16 in C order; map = scale * values, of this shape."""

    values: bytes
    scale: float
    shape: tuple[int, ...]


def encode_map(map: np.ndarray) -> StoredMap:
    """A map as it is stored. Raises ValueError for one that is empty or not finite."""
    import numpy as np

    exact = np.asarray(map, dtype=np.float64)
    if not exact.size or not np.isfinite(exact).all():
        raise ValueError("a map must hold numbers, all of them finite")
    exponent = int(np.frexp(np.abs(exact).max())[1]) - _TOP if exact.any() else 0
    values = np.ldexp(exact, -exponent).astype("<f2")
    return StoredMap(values.tobytes(), float(np.ldexp(1.0, exponent)), tuple(exact.shape))


def decode_map(row: Mapping[str, Any]) -> np.ndarray:
    """The map of a row with `map`, `scale` and `shape`, float32 as methods answer. Raises ValueError if they disagree."""
    import numpy as np

    values = np.frombuffer(row["map"], dtype="<f2").astype(np.float64)
    map: np.ndarray = (values * float(row["scale"])).astype(np.float32)
    return map.reshape([int(length) for length in row["shape"]])
