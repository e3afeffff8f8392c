"""How a metric orders XAI methods, beside the consensus of its criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.spec.run import Unit
from harness.tracks.base import Outputs
from harness.tracks.figure import PALETTE, STYLE, Figure, as_svg

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.meta.track import MetaTrack

    Panel = tuple[str, float, tuple[str, ...], np.ndarray, np.ndarray]


def rank_agreement(track: MetaTrack, answers: Mapping[Unit, Outputs]) -> Figure:
    """A panel per network: the metric's rank of each XAI method by the mean rank in the consensus."""
    criterion, panels = track.method.criterion, []
    for unit, outputs in answers.items():
        judged = track.judged(unit, outputs)
        if criterion in judged.order:
            tau = judged.draws[f"tau_{criterion}"][0]
            panels.append((unit.label, float(tau), judged.methods, *judged.order[criterion]))
    return Figure(
        "Order of XAI methods",
        f"Rank by this metric against the mean rank over the other metrics of {criterion}, one dot an XAI method, 1 is "
        "best; on the line they agree. Networks without stored scores of other metrics are not shown.",
        draw_agreement(panels),
    )


def draw_agreement(panels: list[Panel]) -> str:
    """SVG of (label, tau, method names, own ranks, consensus) of each network; empty without any."""
    if not panels:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    with rc_context(STYLE):
        figure = Drawing(figsize=(5.2 * columns, 4.4 * lines), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel, (label, tau, names, own, consensus) in zip(grid, panels, strict=False):
            most = len(names) + 1
            panel.plot([0, most], [0, most], color="#bbbbbb", linewidth=0.8)
            panel.scatter(consensus, own, s=16, color=PALETTE[0], linewidths=0)
            for name, across, up in zip(names, consensus, own, strict=True):
                panel.annotate(name, (across, up), xytext=(4, 2), textcoords="offset points", fontsize=6.5)
            panel.set(title=f"{label}: tau {tau:.2f}", xlabel="consensus: mean rank", ylabel="rank by this metric")
            panel.set(xlim=(0, most), ylim=(0, most))
        for panel in grid[len(panels) :]:
            panel.set_axis_off()
        return as_svg(figure)
