"""A picture in a page, with what it shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito, colour-blind safe
STYLE: dict[Any, Any] = {"svg.hashsalt": "harness", "svg.fonttype": "none", "font.size": 9}


@dataclass(frozen=True)
class Figure:
    """svg is empty where there is nothing to show."""

    title: str
    text: str
    svg: str = ""


@contextmanager
def grid(lines: int, columns: int, width: float, height: float) -> Iterator[tuple[Drawing, np.ndarray]]:
    """A drawing of so many inches with panels (lines, columns), in the style of all pictures while the block runs."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    with rc_context(STYLE):
        drawing = Drawing(figsize=(width, height), layout="constrained")
        yield drawing, drawing.subplots(lines, columns, squeeze=False)


@contextmanager
def panels(
    count: int, most_columns: int, width: float, height: float, least_height: float = 0.0
) -> Iterator[tuple[Drawing, list[Axes]]]:
    """A drawing of `count` panels, each of so many inches, in lines from left to right."""
    columns = min(most_columns, count)
    lines = -(-count // columns)
    with grid(lines, columns, width * columns, max(height * lines, least_height)) as (drawing, found):
        for axes in found.ravel()[count:]:
            axes.set_axis_off()
        yield drawing, list(found.ravel()[:count])


def as_svg(drawing: Drawing) -> str:
    """The drawing as an SVG element, the same bytes every time."""
    from matplotlib import rc_context

    image = io.StringIO()
    with rc_context(STYLE):
        drawing.savefig(image, format="svg", metadata={"Date": None})
    svg = image.getvalue()
    return svg[svg.index("<svg") :]
