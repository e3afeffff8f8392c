"""The file of maps of one network: what metrics are asked about, and what the reference metrics said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.storage import IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np

MOST_BYTES = 1 << 30
_REQUIRED = {"methods", "maps", "scale"}
_OPTIONAL = {"randomised_methods", "randomised_maps", "randomised_scale", "reference_metrics", "reference"}


@dataclass(frozen=True)
class MapFile:
    """Maps (n, 1 or c, *spatial) float32 by XAI method, of one network's decisions on n samples.

    randomised: maps of the same samples by the same methods, made with a network whose weights were drawn anew; empty
    where nobody made them. reference: metric -> scores (methods, n), NaN where undefined, in the order of `maps`.
    """

    maps: Mapping[str, np.ndarray]
    randomised: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]


def packed(
    maps: Mapping[str, np.ndarray], randomised: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Arrays of a file. A map is stored in half precision, divided by its largest |value|, beside that value.

    Channels are averaged, so that all maps have the shape (n, 1, *spatial).
    """
    import numpy as np

    arrays = dict(zip(("methods", "maps", "scale"), _halved(maps), strict=True))
    if randomised:
        names = ("randomised_methods", "randomised_maps", "randomised_scale")
        arrays |= zip(names, _halved(randomised), strict=True)
    if reference:
        arrays["reference_metrics"] = np.array(list(reference))
        arrays["reference"] = np.stack(list(reference.values())).astype(np.float32)
    return arrays


def read_maps(path: Path) -> MapFile:
    """A file that `packed` describes. Raises IntegrityError for anything else."""
    import numpy as np

    arrays = read_arrays(path, max_bytes=MOST_BYTES)
    if lacking := sorted(_REQUIRED - arrays.keys()):
        raise IntegrityError(f"{path} lacks the array {lacking[0]!r}.")
    if unknown := sorted(arrays.keys() - _REQUIRED - _OPTIONAL):
        raise IntegrityError(f"{path} holds the array {unknown[0]!r}, which no file of maps has.")
    maps = _restored(path, arrays, "")
    randomised = _restored(path, arrays, "randomised_") if "randomised_maps" in arrays else {}
    first = next(iter(maps.values()))
    for name, own in randomised.items():
        if name not in maps or own.shape != first.shape:
            raise IntegrityError(f"{path}: randomised maps of {name} do not belong to its maps.")
    reference: dict[str, np.ndarray] = {}
    if "reference" in arrays:
        values, names = arrays["reference"], [str(each) for each in arrays.get("reference_metrics", ())]
        if values.shape != (len(names), len(maps), len(first)) or values.dtype.kind != "f" or np.isinf(values).any():
            raise IntegrityError(f"{path}: `reference` must hold scores (metrics, methods, samples).")
        reference = dict(zip(names, values.astype(np.float64), strict=True))
    return MapFile(maps, randomised, reference)


def _halved(maps: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import numpy as np

    values = np.stack([each.mean(axis=1, keepdims=True, dtype=np.float64) for each in maps.values()])
    scale = np.abs(values).reshape(*values.shape[:2], -1).max(axis=2)
    divisor = np.where(scale > 0, scale, 1.0).reshape(*scale.shape, *[1] * (values.ndim - 2))
    return np.array(list(maps)), (values / divisor).astype(np.float16), scale.astype(np.float32)


def _restored(path: Path, arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    import numpy as np

    try:
        names = [str(each) for each in arrays[f"{prefix}methods"]]
        maps, scale = arrays[f"{prefix}maps"], arrays[f"{prefix}scale"]
    except KeyError as error:
        raise IntegrityError(f"{path} lacks the array {error.args[0]!r}.") from error
    fits = maps.ndim >= 4 and maps.shape[:2] == scale.shape and len(set(names)) == len(names) == len(maps) > 0
    if not fits or maps.dtype.kind != "f" or scale.dtype.kind != "f" or not maps.shape[1]:
        raise IntegrityError(
            f"{path}: `{prefix}maps` must be (methods, n, c, *spatial) with `{prefix}scale` (methods, n)."
        )
    restored = maps.astype(np.float32) * scale.astype(np.float32).reshape(*scale.shape, *[1] * (maps.ndim - 2))
    if not np.isfinite(restored).all():
        raise IntegrityError(f"{path}: `{prefix}maps` hold NaN or infinite values.")
    return dict(zip(names, restored, strict=True))
