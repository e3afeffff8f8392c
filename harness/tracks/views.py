"""What a page shows of a run, as data: charts, tables, thresholds, galleries. `harness.reports` draws them.

A kind of method yields views from `Track.views`; it writes no markup, and texts are escaped where they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from harness.spec.board import Cell
    from harness.spec.result import Summary
    from harness.spec.run import Unit
    from harness.spec.submission import Cost
    from harness.tracks.base import Answers, Measurement, Track
    from harness.tracks.leaderboard import Entry

Columns = Mapping[str, Sequence[Any]]
"""Rows by column: values of equal length, None where one is missing."""
Role = Literal["this run", "best", "median", "simplest", "other"]

_COLOURS: dict[Role, str] = {
    "this run": "var(--own)",
    "best": "var(--best)",
    "median": "var(--median)",
    "simplest": "var(--simplest)",
    "other": "var(--other)",
}
_DASHES: dict[Role, str] = {"best": "7 3", "median": "2 3", "simplest": "9 3 2 3"}


@dataclass(frozen=True)
class Key:
    """A line of a chart's legend."""

    label: str
    colour: str
    dash: str = ""


@dataclass(frozen=True)
class Chart:
    """Marks as Observable Plot names them, over rows.

    marks: each has `mark`, the name of Plot's function, and its options, in which a string is a column; `where`
    (column -> value) keeps only some of the rows, and `values` stands instead of rows. options: of the plot. panel: the
    column whose values have a plot of their own each. least_width: pixels below which the chart scrolls instead of shrinking.
    """

    template: ClassVar[str] = "chart"

    title: str
    text: str
    columns: Columns
    marks: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    panel: str = ""
    keys: tuple[Key, ...] = ()
    least_width: int = 0


@dataclass(frozen=True)
class Numbers:
    """A table that can be sorted. Rows are of equal length; the first cell names the row, None is shown as a dash."""

    template: ClassVar[str] = "numbers"

    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


@dataclass(frozen=True)
class OperatingPoints:
    """One unit of `Thresholds`: points (m,) from full coverage down, failures by falling confidence.

    accepted, undetected: counts of samples and of failures among them at each point. listed: the failures that the page
    can name, columns of equal length, `confidence` among them.
    """

    label: str
    samples: int
    failures: int
    threshold: Sequence[float]
    accepted: Sequence[int]
    undetected: Sequence[int]
    listed: Columns


@dataclass(frozen=True)
class Thresholds:
    """A slider over the operating points of a unit: coverage, risks, and the failures that are accepted there."""

    template: ClassVar[str] = "thresholds"

    title: str
    text: str
    units: tuple[OperatingPoints, ...]
    keys: tuple[Key, ...] = (Key("generalized risk", "var(--own)"), Key("selective risk", "var(--best)", "7 3"))


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, with what a reader who does not see it is told."""

    source: str
    alt: str
    label: str = ""


@dataclass(frozen=True)
class Card:
    """Pictures of one thing beside each other, above their caption."""

    pictures: tuple[Picture, ...]
    caption: str = ""
    marked: bool = False
    """Whether it stands out, such as a sample that the network gets wrong."""


@dataclass(frozen=True)
class Gallery:
    """Cards under headings. scale: colour bar, (CSS gradient, label at its low end, in the middle, at its high end)."""

    template: ClassVar[str] = "gallery"

    title: str
    text: str
    groups: tuple[tuple[str, tuple[Card, ...]], ...]
    scale: tuple[str, str, str, str] | None = None


View = Chart | Numbers | Thresholds | Gallery


@dataclass(frozen=True)
class SampleList:
    """Samples of a run to look at one by one: `harness browse` filters, orders, shows and exports them.

    columns: samples by column, None where one has no meaning. filters: columns of few different values, by which rows are
    chosen. orders: numeric columns -> whether the largest stands first; the first is the order at the beginning. caption:
    columns that a sample's card names. cards: place of a row -> its pictures, several cards where it is seen in slices,
    of which the first marked one is seen first; asked for in the first order until the page is full. notes: sentences
    on what is not here.
    """

    text: str
    columns: Columns
    filters: tuple[str, ...]
    orders: Mapping[str, bool]
    caption: tuple[str, ...]
    cards: Callable[[int], tuple[Card, ...]]
    keys: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rival:
    """A row of the board that a run is shown beside.

    cells: its numbers by column, as the board shows them. open: its track and what it answered, read when it is asked
    for; no answers where its submission is damaged.
    """

    role: Role
    name: str
    cells: Mapping[str, Cell]
    cost: Cost | None
    open: Callable[[], tuple[Track, Mapping[Unit, Answers]]]


@dataclass(frozen=True)
class Shown:
    """All that a run's views are made of.

    cells: the run's own numbers by column of the board; empty where it has no place. entries: every complete row of the
    board but the run's own, read when they are asked for.
    """

    answers: Mapping[Unit, Answers]
    measured: Mapping[Unit, Measurement]
    summary: Sequence[Summary]
    cells: Mapping[str, Cell] = field(default_factory=dict)
    rivals: tuple[Rival, ...] = ()
    entries: Callable[[], Sequence[Entry]] = tuple


def line_style(role: Role) -> dict[str, Any]:
    """How lines of a role are drawn, in every chart alike."""
    style: dict[str, Any] = {"stroke": _COLOURS[role], "strokeWidth": 2.2 if role == "this run" else 1.5}
    return style | ({"strokeDasharray": _DASHES[role]} if role in _DASHES else {})


def key(role: Role, name: str = "") -> Key:
    """The line of a legend for a role."""
    return Key(f"{role}: {name}" if name else role, _COLOURS[role], _DASHES.get(role, ""))


def colour(role: Role) -> str:
    """CSS colour of a role, in light and dark alike."""
    return _COLOURS[role]


def beside_the_board(title: str, text: str, shown: Shown, *, spread: bool = False) -> Iterator[Chart]:
    """The run's numbers in every column of the board beside its rivals', with intervals, or with their spread; nothing
    for a run without a place."""
    of: dict[Role, tuple[str, Mapping[str, Cell]]] = {each.role: (each.name, each.cells) for each in shown.rivals}
    of["this run"] = ("", shown.cells)
    rows = []
    for role, (name, cells) in of.items():
        for column, cell in cells.items():
            low, high = (
                (cell.value - (cell.spread or 0), cell.value + (cell.spread or 0)) if spread else (cell.low, cell.high)
            )
            numbers = dict(zip(("value", "low", "high"), rounded([cell.value, low, high]), strict=True))
            rows.append({"column": column, "role": role, "method": name or role, **numbers})
    if not shown.cells:
        return
    roles = [role for role in _COLOURS if role in of]
    every = {"x": "value", "y": "role", "fy": "column"}
    yield Chart(
        title,
        text,
        columns_of(rows),
        (
            {
                "mark": "ruleY",
                "x1": "low",
                "x2": "high",
                "y": "role",
                "fy": "column",
                "stroke": "role",
                "strokeWidth": 2,
            },
            {"mark": "dot", **every, "fill": "role", "r": 4.5, "tip": True, "channels": {"method": "method"}},
        ),
        {
            "x": {"label": None, "nice": True},
            "y": {"domain": roles, "axis": None},
            "fy": {"domain": list(shown.cells), "label": None, "axis": "left"},
            "color": {"domain": roles, "range": [_COLOURS[role] for role in roles]},
            "marginLeft": 110,
            "height": 60 + 16 * len(roles) * len(shown.cells),
        },
        keys=tuple(key(role, of[role][0]) for role in roles),
    )


def rounded(values: Any, digits: int = 6) -> list[float | None]:
    """Numbers for a page, to so many decimals; None for NaN and infinities."""
    import numpy as np

    return [float(value) if np.isfinite(value) else None for value in np.round(np.asarray(values, float), digits)]


def columns_of(rows: Iterator[Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows with the same keys as columns."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def image_uri(pixels: Any, scale: int = 1) -> str:
    """A PNG of (h, w) or (h, w, 3) uint8 as a data URI, each pixel repeated `scale` times."""
    import base64
    import io

    import numpy as np
    from PIL import Image

    large = np.repeat(np.repeat(np.asarray(pixels, np.uint8), scale, axis=0), scale, axis=1)
    stream = io.BytesIO()
    Image.fromarray(large).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def compact_uri(pixels: Any, side: int = 256) -> str:
    """(h, w) or (h, w, 3) uint8 as a data URI of few bytes: of at most `side` pixels, where larger ones lose a little."""
    import base64
    import io

    import numpy as np
    from PIL import Image

    image = Image.fromarray(np.asarray(pixels, np.uint8))
    if max(image.size) <= 64:
        return image_uri(pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "webp", quality=85)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def levels(values: Any) -> Any:
    """Grey or colour values of any range as uint8 levels: the smallest is black, the largest white."""
    import numpy as np

    values = np.asarray(values, np.float64)
    low, span = float(np.nanmin(values)), float(np.ptp(values)) or 1.0
    return np.nan_to_num((values - low) / span * 255).astype(np.uint8)
