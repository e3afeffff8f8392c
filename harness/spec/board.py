"""Boards: generated from submissions, never edited."""

from __future__ import annotations

from pydantic import Field

from harness.spec.base import Document, Sha256, Slug, Spec


class Cell(Spec):
    """One method in one column: a score with its interval, a rank with its interval, a tied group."""

    value: float = Field(allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    rank: int | None = Field(default=None, description="none for reference rows")
    rank_low: int | None = None
    rank_high: int | None = None
    group: int | None = None
    spread: float | None = Field(
        default=None, allow_inf_nan=False, description="how far the metrics behind a mean rank disagree (SD)"
    )


class Row(Spec):
    method: Slug
    version: str
    reference: bool = Field(description="a bound or sanity row: shown, never ranked")
    units: str = Field(description="scored / planned, e.g. 27/27")
    exempt: int = Field(default=0, description="units that do not apply to the method")
    cells: dict[str, Cell]


class Unranked(Spec):
    """A submission that is listed without a rank, and why."""

    method: str
    reason: str


class Board(Document):
    """`board.json`."""

    benchmark: str
    benchmark_hash: Sha256
    metric: str
    title: str = Field(description="what the numbers are, for headings")
    explanation: str
    lower_is_better: bool
    scale: float = Field(description="what values were multiplied with for display")
    columns: tuple[str, ...]
    groups: dict[str, int] = Field(
        description="column -> number of groups, each told apart from the best of the one above"
    )
    rows: tuple[Row, ...]
    unranked: tuple[Unranked, ...]
