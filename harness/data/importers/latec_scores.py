"""LATEC's metric scores: arrays (methods, 20, observations), in which nothing says which metric is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.importers.base import Imported, Measured, TableColumn, long_table, refuse_objects
from harness.data.importers.latec import IDS, NOTES, LatecSet, check_names, latec_set
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

VERSION = "latec"
COLUMNS = (
    *IDS,
    TableColumn("metric", "id of the metric"),
    TableColumn("version", "of the metric: LATEC's own reading, not comparable with the harness's"),
    TableColumn("direction", "higher or lower is better"),
    TableColumn("value", "score; empty unless the status is ok", "real"),
    TableColumn("status", "ok, missing (NaN) or infinite"),
)
KEY = ("model", "method", "observation", "metric")


def read_latec_scores(path: Path, orders: Mapping[str, Sequence[Measured]], options: Mapping[str, str]) -> Imported:
    """The scores of one data set: `eval_scores_<set>.npz`.

    orders: the 20 metrics by the name of the order, with their ranges in LATEC's units. options: `order`, which must be
    named, and `dataset` where the file's name does not say it.

    Raises UsageError for no order, an unknown data set and pickles; IntegrityError for other arrays than three networks'
    and for values that their metric cannot have, and then says whether another order would fit.
    """
    order = _order(orders, options, path)
    refuse_objects(path)
    source = latec_set(path, options)
    arrays = read_arrays(path)
    check_names(path, arrays)
    for network in range(3):
        _check_shape(arrays[f"arr_{network}"], source, network, path)
    problem = _first_problem(arrays, source, orders[order])
    fitting = [name for name in orders if name != order and _first_problem(arrays, source, orders[name]) is None]
    if problem is not None:
        advice = f"; all values fit --order {fitting[0]}" if fitting else ""
        raise IntegrityError(f"{path}: {problem}{advice}.")
    notes = [*NOTES, f"metrics in the order {order!r}, as named by the user"]
    if fitting:
        notes.append(f"the ranges do not tell {order!r} and {fitting[0]!r} apart in this file: its order is unproven")
    return long_table("LATEC scores", COLUMNS, KEY, _long(arrays, source, orders[order]), path, notes)


def _order(orders: Mapping[str, Sequence[Measured]], options: Mapping[str, str], path: Path) -> str:
    order = options.get("order")
    if order is None or order not in orders:
        raise UsageError(
            f"{path} does not say which of its 20 metrics is which, and there are two orders; name one: --order published "
            "(of the notebooks behind the paper's tables: Infidelity is number 16) or --order config (of arrays made with "
            "the released configuration: Infidelity is number 10)."
        )
    return order


def _check_shape(array: np.ndarray, source: LatecSet, network: int, path: Path) -> None:
    expected = len(source.methods(network))
    if array.ndim != 3 or array.shape[:2] != (expected, 20) or not array.shape[2] or array.dtype.kind != "f":
        raise IntegrityError(
            f"{path}: arr_{network} has shape {array.shape} and holds {array.dtype}; of {source.networks[network]} there are "
            f"real numbers of shape ({expected} methods, 20 metrics, observations)."
        )


def _first_problem(arrays: Mapping[str, np.ndarray], source: LatecSet, metrics: Sequence[Measured]) -> str | None:
    """A sentence on the first value out of its metric's range, without its end."""
    import numpy as np

    for network in range(3):
        array = arrays[f"arr_{network}"]
        for position, metric in enumerate(metrics):
            low, high = metric.range
            values = array[:, position].astype(np.float64)
            with np.errstate(invalid="ignore"):
                outside = np.isfinite(values) & ((values < low - 1e-6) | (values > high + 1e-6))
            if outside.any():
                method, observation = (int(each[0]) for each in np.nonzero(outside))
                return (
                    f"arr_{network}[{method}, {position}, {observation}] ({source.methods(network)[method]}) is "
                    f"{values[method, observation]:g}, but {metric.id} lies between {low:g} and {high:g}"
                )
    return None


def _long(arrays: Mapping[str, np.ndarray], source: LatecSet, metrics: Sequence[Measured]) -> pd.DataFrame:
    """Network, method, observation and metric, the last fastest."""
    import numpy as np
    import pandas as pd

    tables = []
    for network, name in enumerate(source.networks):
        array = arrays[f"arr_{network}"].astype(np.float64)
        methods, count, observations = array.shape
        values = array.transpose(0, 2, 1).ravel()
        status = np.where(np.isnan(values), "missing", np.where(np.isinf(values), "infinite", "ok"))
        tables.append(
            pd.DataFrame(
                {
                    "modality": source.modality,
                    "dataset": source.dataset,
                    "model": f"{source.dataset}-{name}",
                    "method": np.repeat(source.methods(network), observations * count),
                    "observation": np.tile(np.repeat(np.arange(observations), count), methods),
                    "metric": np.tile([metric.id for metric in metrics], methods * observations),
                    "version": VERSION,
                    "direction": np.tile([metric.direction for metric in metrics], methods * observations),
                    "value": np.where(np.isfinite(values), values, np.nan),
                    "status": status,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
