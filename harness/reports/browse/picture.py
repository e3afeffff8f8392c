"""The points as a still image: what stands on the page where a browser has no WebGL, and in print."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from harness.reports.browse.payload import Points
from harness.reports.browse.samples import FAILURE, LEFT_OUT, SUCCESS

if TYPE_CHECKING:
    import numpy as np

_DRAWN = (
    ("not tested or left out", LEFT_OUT, "#b9bec4", 2),
    ("success", SUCCESS, "#0072b2", 3),
    ("failure", FAILURE, "#d55e00", 6),
)
_INCHES, _DOTS = 6.4, 130


def picture(places: np.ndarray, points: Points) -> str:
    """Places (n, 2) of points as a data URI, failures on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DOTS)
    axes = figure.add_axes((0, 0.06, 1, 0.94))
    axes.set_axis_off()
    for name, code, colour, size in _DRAWN:
        mine = points.outcome == code
        axes.scatter(places[mine, 0], places[mine, 1], s=size, c=colour, label=name, linewidths=0, alpha=0.7)
    figure.legend(loc="lower center", ncols=len(_DRAWN), markerscale=3, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="webp", pil_kwargs={"quality": 75})
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
