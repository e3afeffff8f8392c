"""The picture of a query board: mean curves of all its methods as SVG, the same text every time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.tracks.leaderboard import Entry
from harness.tracks.query.curves import SHARE, Curves, curves_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito, colour-blind safe
_STYLE: dict[Any, Any] = {"svg.hashsalt": "harness", "svg.fonttype": "none", "font.size": 9}
_DASHES = ("-", "--", ":", "-.")
_LEGEND_LINE = 0.2  # inches


def curves_svg(entries: Sequence[Entry], studies: Sequence[str] = ()) -> str:
    """Mean curves of all methods of a board as SVG; empty without curves.

    `studies` are drawn in this order; without any, all by name.
    """
    curves = curves_of(entries)
    return _board_svg(curves, studies) if curves else ""


def _board_svg(curves: Mapping[str, Mapping[str, Curves]], studies: Sequence[str]) -> str:
    every = {study: own for of in curves.values() for study, own in of.items()}
    drawn = {study: every[study] for study in studies or sorted(every) if study in every}
    best_first = sorted(curves, key=lambda name: (-_height(curves[name]), name))
    with _axes(drawn, least_height=_LEGEND_LINE * (len(curves) + 1)) as (drawing, found):
        for (study, axis), panel in found.items():
            for number, name in enumerate(best_first):
                if study in curves[name] and axis in curves[name][study].axes():
                    colour, dash = _PALETTE[number % len(_PALETTE)], _DASHES[number // len(_PALETTE) % len(_DASHES)]
                    _draw_mean(
                        panel, curves[name][study], axis, color=colour, linestyle=dash, linewidth=1.4, label=name
                    )
            panel.set_ylabel("performance")
        handles = {label: h for p in found.values() for h, label in zip(*p.get_legend_handles_labels(), strict=True)}
        ordered = [name for name in best_first if name in handles]
        drawing.legend([handles[name] for name in ordered], ordered, loc="outside right upper", frameon=False)
        return _as_svg(drawing)


def _height(of: Mapping[str, Curves]) -> float:
    """Mean performance over studies, seeds and loops: about the order of the board."""
    return sum(float(curves.performance.mean()) for curves in of.values()) / len(of)


@contextmanager
def _axes(
    studies: Mapping[str, Curves], least_height: float = 0.0
) -> Iterator[tuple[Drawing, dict[tuple[str, str], Axes]]]:
    """A panel per study and axis, three in a line; for segmentation both axes of a study beside each other."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    wanted = [(study, axis) for study, own in studies.items() for axis in own.axes()]
    columns = min(len(wanted), 2 if any(axis == SHARE for _, axis in wanted) else 3)
    lines = -(-len(wanted) // columns)
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(3.6 * columns, max(2.7 * lines, least_height)), layout="constrained")
        every = drawing.subplots(lines, columns, squeeze=False).ravel()
        for panel in every[len(wanted) :]:
            panel.set_axis_off()
        for panel, (study, axis) in zip(every, wanted, strict=False):
            panel.set(title=study, xlabel=axis)
            if axis != SHARE:
                panel.set_xticks(studies[study].budget)
        yield drawing, dict(zip(wanted, every, strict=False))


def _draw_mean(panel: Axes, curves: Curves, axis: str, **style: Any) -> None:
    panel.plot(curves.axes()[axis].mean(axis=0), curves.performance.mean(axis=0), **style)


def _as_svg(drawing: Drawing) -> str:
    """The drawing as an SVG element, the same bytes every time."""
    from matplotlib import rc_context

    image = io.StringIO()
    with rc_context(_STYLE):
        drawing.savefig(image, format="svg", metadata={"Date": None})
    svg = image.getvalue()
    return svg[svg.index("<svg") :]
