"""A picture in a page, with what it shows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito, colour-blind safe
STYLE: dict[Any, Any] = {"svg.hashsalt": "harness", "svg.fonttype": "none", "font.size": 9}


@dataclass(frozen=True)
class Figure:
    """svg is empty where there is nothing to show."""

    title: str
    text: str
    svg: str = ""


def as_svg(drawing: Drawing) -> str:
    """The drawing as an SVG element, the same bytes every time."""
    image = io.StringIO()
    drawing.savefig(image, format="svg", metadata={"Date": None})
    svg = image.getvalue()
    return svg[svg.index("<svg") :]
