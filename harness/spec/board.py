"""Boards: generated from submissions, never edited."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from pydantic import Field

from harness.spec.base import Document, Grown, Sha256, Slug, Spec
from harness.spec.submission import Cost, Tier


class Cell(Spec):
    """One method in one column: a score with its interval, a rank with its interval, a tied group."""

    value: float = Field(allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    rank: int | None = Field(default=None, description="none for reference rows, and for rows that wait")
    rank_low: int | None = None
    rank_high: int | None = None
    group: int | None = None
    spread: float | None = Field(
        default=None, allow_inf_nan=False, description="how far the metrics behind a mean rank disagree (SD)"
    )


class Row(Grown):
    later: ClassVar[frozenset[str]] = frozenset({"remark", "waits"})
    method: Slug
    version: str
    reference: bool = Field(description="a bound or sanity row: shown, never ranked")
    oracle: bool = Field(default=False, description="it reads what it is to tell: a bound")
    units: str = Field(description="scored / planned, e.g. 27/27")
    exempt: int = Field(default=0, description="units that do not apply to the method")
    tier: Tier = "recomputed"
    waits: bool = Field(default=False, description="it has no rank before it is reproduced; since it was submitted")
    as_reported: tuple[str, ...] = Field(
        default=(), description="metrics that only another run of the method can check"
    )
    remark: str = Field(default="", description="what is to be known of how it was measured, such as without a fence")
    cost: Cost | None = None
    submitted: date | None = None
    folder: str = Field(default="", description="where the submission lies in the checkout")
    maps: str = Field(default="", description="address of its maps, where they are on the Hub")
    state: str = Field(default="", description="hash of what its numbers follow from: version, run and outputs")
    cells: dict[str, Cell]


class Unranked(Spec):
    """A submission that is listed without a rank, why, and what it has."""

    method: str
    reason: str
    units: str = Field(default="", description="scored / planned, where that can be told")
    cells: dict[str, Cell] = Field(default_factory=dict, description="columns that are complete, without ranks")


class Published(Grown):
    """A number from a paper: shown beside the ranking with its source, never ranked."""

    later: ClassVar[frozenset[str]] = frozenset({"metric", "runs"})
    method: str = Field(min_length=1)
    column: str = Field(description="a column of the board or a study of the benchmark")
    value: float = Field(allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    std: float | None = Field(default=None, allow_inf_nan=False, ge=0, description="over seeds")
    metric: str = Field(default="", description="where it is not the metric of the board")
    runs: int | None = Field(default=None, ge=1, description="trainings that the value is the mean of")
    source: str = Field(min_length=1)
    note: str = ""


class TableRow(Spec):
    """One method in a table; a value is missing where it has no meaning."""

    method: str
    values: tuple[float | None, ...]


class Table(Spec):
    """What a kind of contest shows beside the ranking, in its own terms."""

    title: str
    text: str = Field(description="what the numbers are, and how to read them")
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    digits: int = Field(default=1, ge=0, description="decimals that a page shows")


class Board(Document):
    """`board.json`. Parts that most boards lack are not written where they are empty."""

    benchmark: str
    benchmark_hash: Sha256
    metric: str
    title: str = Field(description="what the numbers are, for headings")
    explanation: str
    lower_is_better: bool
    scale: float = Field(description="what values were multiplied with for display")
    ranks_from: Tier = Field(default="recomputed", description="the tier from which on rows have ranks")
    columns: tuple[str, ...]
    groups: dict[str, int] = Field(
        description="column -> number of groups, each told apart from the best of the one above"
    )
    rows: tuple[Row, ...]
    unranked: tuple[Unranked, ...]
    tables: tuple[Table, ...] = ()
    published: tuple[Published, ...] = ()

    def canonical(self) -> dict[str, Any]:
        empty = {name for name in ("tables", "published") if not getattr(self, name)}
        empty |= {"ranks_from"} if self.ranks_from == "recomputed" else set()
        return self.model_dump(mode="json", exclude=empty)
