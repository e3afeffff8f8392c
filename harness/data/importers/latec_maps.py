"""LATEC's saliency maps: arrays (observations, methods, *input shape), read one observation at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.importers.base import OK, Imported, TableColumn, frame_of, long_table, refuse_objects
from harness.data.importers.latec import IDS, NOTES, LatecSet, Modality, check_names, latec_set
from harness.data.meta_evaluation import MapRecord
from harness.storage import IntegrityError, StoredArray, stored_arrays

_DIMENSIONS: dict[Modality, tuple[int, int]] = {"image": (3, 3), "volume": (4, 1), "point-cloud": (2, 3)}
"""Of one map: how many axes, and channels along the first."""

COLUMNS = (
    *IDS,
    TableColumn("shape", "of the map: channels first"),
    TableColumn("low", "smallest value", "real"),
    TableColumn("high", "largest value", "real"),
    TableColumn("zeros", "share of values that are exactly 0", "real"),
    TableColumn("status", "ok, or missing where a map holds NaN or infinite values"),
)
KEY = ("model", "method", "observation")


def read_latec_maps(
    path: Path, dataset: str | None = None, left_out: Callable[[MapRecord], None] | None = None
) -> Iterator[MapRecord]:
    """Every map of a file, in the order network, observation, method; one observation is in memory at a time.

    Maps with NaN or infinite values are given to `left_out` instead. Without it, and for arrays that are not three
    networks' maps of this data set, raises IntegrityError; UsageError for pickles and an unknown data set.
    """
    import numpy as np

    for record in _records(path, {} if dataset is None else {"dataset": dataset}):
        if np.isfinite(record.map).all():
            yield record
        elif left_out is not None:
            left_out(record)
        else:
            raise IntegrityError(
                f"{path}: the map of {record.method} for observation {record.observation} of {record.model} holds NaN or "
                "infinite values."
            )


def describe_latec_maps(path: Path, options: Mapping[str, str]) -> Imported:
    """One row for each map of a file: whose it is and what its values look like. Raises as `read_latec_maps`."""
    rows = frame_of((_described(record) for record in _records(path, options)), COLUMNS)
    return long_table("LATEC maps", COLUMNS, KEY, rows, path, NOTES)


def _records(path: Path, options: Mapping[str, str]) -> Iterator[MapRecord]:
    refuse_objects(path)
    source = latec_set(path, options)
    arrays = stored_arrays(path)
    check_names(path, arrays)
    for network in range(3):
        _check_shape(arrays[f"arr_{network}"], source, network)
    for network, name in enumerate(source.networks):
        methods = source.methods(network)
        for observation, maps in enumerate(arrays[f"arr_{network}"].rows()):
            for method, one in zip(methods, maps, strict=True):
                yield MapRecord(
                    source.modality,
                    source.dataset,
                    f"{source.dataset}-{name}",
                    method,
                    str(observation),
                    None,
                    None,
                    one,
                )


def _check_shape(array: StoredArray, source: LatecSet, network: int) -> None:
    axes, channels = _DIMENSIONS[source.modality]
    methods, shape = len(source.methods(network)), array.shape
    if len(shape) != axes + 2 or shape[1:3] != (methods, channels) or 0 in shape or array.dtype.kind != "f":
        raise IntegrityError(
            f"{array.path}: {array.name} has shape {shape} and holds {array.dtype}; of {source.networks[network]} there are "
            f"real numbers of shape (observations, {methods} methods, {channels} channels"
            f"{', positions' * (axes - 1)})."
        )


def _described(record: MapRecord) -> dict[str, Any]:
    import numpy as np

    values = record.map.astype(np.float64)
    finite = bool(np.isfinite(values).all())
    return {
        **{name: getattr(record, name) for name in ("modality", "dataset", "model", "method")},
        "observation": int(record.observation),
        "shape": "x".join(map(str, values.shape)),
        "low": float(values.min()) if finite else np.nan,
        "high": float(values.max()) if finite else np.nan,
        "zeros": float((values == 0).mean()) if finite else np.nan,
        "status": OK if finite else "missing",
    }
