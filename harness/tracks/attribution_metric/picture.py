"""How a metric orders XAI methods, beside the consensus of its criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.figure import PALETTE, Figure, as_svg, panels

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.attribution_metric.track import AttributionMetricTrack

    Order = tuple[str, float, tuple[str, ...], np.ndarray, np.ndarray]


def rank_agreement(track: AttributionMetricTrack, answers: Mapping[Unit, Answers]) -> Figure:
    """A panel per network: the metric's rank of each XAI method by the mean rank in the consensus."""
    criterion, orders = track.method.criterion, []
    for unit, outputs in answers.items():
        judged = track.judged(unit, outputs)
        if criterion in judged.order:
            tau = judged.draws[f"tau_{criterion}"][0]
            orders.append((unit.label, float(tau), judged.methods, *judged.order[criterion]))
    return Figure(
        "Order of XAI methods",
        f"Rank by this metric against the mean rank over the other metrics of {criterion}, one dot an XAI method, 1 is "
        "best; on the line they agree. Networks without stored scores of other metrics are not shown.",
        draw_agreement(orders),
    )


def draw_agreement(orders: list[Order]) -> str:
    """SVG of (label, tau, method names, own ranks, consensus) of each network; empty without any."""
    if not orders:
        return ""
    with panels(len(orders), 2, 5.2, 4.4) as (drawing, axes):
        for panel, (label, tau, names, own, consensus) in zip(axes, orders, strict=True):
            most = len(names) + 1
            panel.plot([0, most], [0, most], color="#bbbbbb", linewidth=0.8)
            panel.scatter(consensus, own, s=16, color=PALETTE[0], linewidths=0)
            for name, across, up in zip(names, consensus, own, strict=True):
                panel.annotate(name, (across, up), xytext=(4, 2), textcoords="offset points", fontsize=6.5)
            panel.set(title=f"{label}: tau {tau:.2f}", xlabel="consensus: mean rank", ylabel="rank by this metric")
            panel.set(xlim=(0, most), ylim=(0, most))
        return as_svg(drawing)
