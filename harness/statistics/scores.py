"""A long table of scores, checked and laid out as one array per metric and cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

OK, NOT_APPLICABLE = "ok", "not-applicable"
SIGNS = {"lower": 1.0, "higher": -1.0}
_COLUMNS = ("method", "metric", "criterion", "direction", "observation", "value", "status")


@dataclass(frozen=True)
class Metric:
    """A metric; `sign` times its score is a cost."""

    name: str
    criterion: str
    sign: float


@dataclass(frozen=True)
class Block:
    """One metric in one cell: all methods on the same observations.

    values: (methods, observations), NaN where missing. applies: (methods,), False for methods the
    protocol exempts from this cell.
    """

    metric: Metric
    observations: tuple[int, ...]
    values: NDArray[np.float64]
    applies: NDArray[np.bool_]

    @property
    def missing(self) -> NDArray[np.int64]:
        """(methods,): observations a method owes."""
        return np.asarray(np.isnan(self.values).sum(axis=1) * self.applies)


@dataclass(frozen=True)
class Scores:
    """Everything a ranking needs. Methods are sorted by name; in_reference: (methods,)."""

    methods: tuple[str, ...]
    in_reference: NDArray[np.bool_]
    blocks: tuple[Block, ...]

    def by_criterion(self) -> dict[str, dict[Metric, list[Block]]]:
        """Criterion → metric → its cells, in the order of names."""
        tree: dict[str, dict[Metric, list[Block]]] = {}
        for block in sorted(self.blocks, key=lambda block: (str(block.metric.criterion), str(block.metric.name))):
            tree.setdefault(block.metric.criterion, {}).setdefault(block.metric, []).append(block)
        return tree


def read_scores(frame: pd.DataFrame, cell: str | Sequence[str], reference: Sequence[str] | None = None) -> Scores:
    """Check a long table of scores and lay it out, whatever the order of its rows.

    Columns: method, the cell columns, metric, criterion, direction ("higher" or "lower" is better),
    observation, value, status. A status other than "ok" makes the observation missing, and so does an
    absent row; "not-applicable" exempts the method from the cell for that metric and must then be its
    only status there. The observations of a cell are those of any reference method (of any method
    without a reference); others are not compared.

    ValueError for missing columns, no rows, empty keys, unknown directions, metrics with two directions
    or criteria, cell columns of another meaning, repeated rows, status ok without a finite value, cells that are half exempt, and unknown
    reference methods.
    """
    cells = [cell] if isinstance(cell, str) else list(cell)
    _check_columns(frame, cells)
    metrics = _metrics(frame)
    _check_values(frame, cells)
    methods, method = _coded(frame["method"])
    observation = _coded(frame["observation"])[1]
    metric_names, metric = _coded(frame["metric"])
    cell_code = _coded(_tuples(frame, cells))[1]
    _check_reference(methods, reference)
    in_reference = np.array([reference is None or name in reference for name in methods])
    exempt = (frame["status"] == NOT_APPLICABLE).to_numpy(dtype=bool)
    values = np.where((frame["status"] == OK).to_numpy(dtype=bool), _numbers(frame), np.nan)

    blocks = []
    order = np.lexsort((cell_code, metric))
    edges = np.flatnonzero(np.diff(metric[order]) | np.diff(cell_code[order])) + 1
    for rows in np.split(order, edges):
        of = metrics[metric_names[metric[rows[0]]]]
        block = _block(of, in_reference, method[rows], observation[rows], np.where(exempt[rows], np.inf, values[rows]))
        if block.observations:
            blocks.append(block)
    return Scores(tuple(methods), in_reference, tuple(blocks))


def _block(
    metric: Metric,
    in_reference: NDArray[np.bool_],
    method: NDArray[np.intp],
    observation: NDArray[np.intp],
    values: NDArray[np.float64],
) -> Block:
    """Rows of one metric in one cell → array. Infinite values mark exemptions."""
    exempt = np.isinf(values)
    applies = np.ones(len(in_reference), dtype=bool)
    applies[method[exempt]] = False
    kept = applies[method]
    if (kept == exempt).any():
        raise ValueError(
            f"metric {metric.name!r} is {NOT_APPLICABLE!r} for some observations of a cell and not for others; "
            "a method is exempt from a whole cell or not at all."
        )
    columns = np.unique(observation[kept & in_reference[method]])
    kept &= np.isin(observation, columns)
    table = np.full((len(in_reference), len(columns)), np.nan)
    table[method[kept], np.searchsorted(columns, observation[kept])] = values[kept]
    return Block(metric, tuple(columns.tolist()), table, applies)


def _coded(column: pd.Series[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Distinct labels, sorted by name, and the place of each row's label among them."""
    import pandas as pd

    codes, labels = pd.factorize(column)
    order = sorted(range(len(labels)), key=lambda i: str(labels[i]))
    place = np.empty(len(labels), dtype=np.intp)
    place[order] = np.arange(len(labels))
    return [labels[i] for i in order], place[codes]


def _tuples(frame: pd.DataFrame, columns: list[str]) -> pd.Series[Any]:
    import pandas as pd

    rows = list(zip(*(frame[column] for column in columns), strict=True)) if columns else [()] * len(frame)
    return pd.Series(rows, dtype=object)


def _numbers(frame: pd.DataFrame) -> NDArray[np.float64]:
    import pandas as pd

    return np.asarray(pd.to_numeric(frame["value"]), dtype=np.float64)


def _metrics(frame: pd.DataFrame) -> dict[str, Metric]:
    kinds = frame[["metric", "criterion", "direction"]].drop_duplicates()
    unknown = set(kinds["direction"]) - set(SIGNS)
    if unknown:
        raise ValueError(f"direction must be 'higher' or 'lower', not {sorted(map(str, unknown))}.")
    if kinds["metric"].duplicated().any():
        name = kinds.loc[kinds["metric"].duplicated(), "metric"].iloc[0]
        raise ValueError(f"metric {name!r} has more than one direction or criterion.")
    return {
        name: Metric(name, criterion, SIGNS[direction])
        for name, criterion, direction in kinds.itertuples(index=False, name=None)
    }


def _check_columns(frame: pd.DataFrame, cells: list[str]) -> None:
    taken = sorted(set(cells) & set(_COLUMNS))
    if taken:
        raise ValueError(f"{taken} cannot be cell columns: they have a meaning of their own.")
    absent = [column for column in (*_COLUMNS, *cells) if column not in frame.columns]
    if absent:
        raise ValueError(f"the table of scores lacks the columns {absent}.")
    if frame.empty:
        raise ValueError("the table of scores is empty: there is nothing to rank.")
    for column in (*_COLUMNS, *cells):
        if column != "value" and frame[column].isna().any():
            raise ValueError(f"column {column!r} has empty entries.")


def _check_values(frame: pd.DataFrame, cells: list[str]) -> None:
    keys = ["method", *cells, "metric", "observation"]
    repeated = frame.duplicated(keys).to_numpy()
    if repeated.any():
        raise ValueError(f"repeated row: {frame.loc[repeated, keys].iloc[0].to_dict()}.")
    broken = (frame["status"] == OK).to_numpy(dtype=bool) & ~np.isfinite(_numbers(frame))
    if broken.any():
        raise ValueError(
            f"status {OK!r} without a finite value: {frame.loc[broken, keys].iloc[0].to_dict()}; "
            "missing is a status, never a number."
        )


def _check_reference(methods: list[Any], reference: Sequence[str] | None) -> None:
    unknown = sorted(set(reference or ()) - set(methods), key=str)
    if unknown:
        raise ValueError(f"the reference names methods without scores: {unknown}.")
    if reference is not None and not reference:
        raise ValueError("the reference is empty: there is nothing to rank against.")
