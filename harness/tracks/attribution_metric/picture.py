"""What a page shows of a run of a metric of XAI methods: its five views, and its order of methods beside the consensus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.tracks.views import Chart, Shown, View, beside_the_board, colour, columns_of, rounded

if TYPE_CHECKING:
    from harness.tracks.attribution_metric.track import AttributionMetricTrack


def metric_views(track: AttributionMetricTrack, shown: Shown) -> Iterator[View]:
    """Views without anything to show are left out."""
    yield from beside_the_board(
        "What it is worth as a metric",
        "With 95 % intervals, beside rows of the board. Agreement: with the order of XAI methods by the other metrics of "
        "its criterion. Power: share of the pairs of methods that it tells apart. Sanity and randomisation: how much more "
        "often it prefers a real map to one that knows nothing, or to that of a randomised network. Stability: the same "
        "order by other samples and seeds, where chance is not 0. Overall: their mean.",
        shown,
        axis="worth × 100: 0 chance, 100 best",
    )
    yield from _order(track, shown)


def _order(track: AttributionMetricTrack, shown: Shown) -> Iterator[Chart]:
    """A panel per network: the metric's rank of each XAI method by the mean rank in the consensus."""
    criterion, rows = track.method.criterion, []
    for unit, outputs in shown.answers.items():
        judged = track.judged(unit, outputs)
        if criterion in judged.order:
            (tau,) = rounded(judged.draws[f"tau_{criterion}"][:1], 4)
            own, consensus = (rounded(each, 3) for each in judged.order[criterion])
            panel = f"{unit.label}: Kendall's tau {'undefined' if tau is None else f'{tau:.2f}'}"
            for name, mine, theirs in zip(judged.methods, own, consensus, strict=True):
                rows.append({"network": panel, "method": name, "rank": mine, "consensus": theirs, "tau": tau})
    if rows:
        most = max(len(judged.methods) for judged in [track.judged(*each) for each in shown.answers.items()]) + 1
        yield Chart(
            "Order of XAI methods",
            f"Rank by this metric against the mean rank over the other metrics of {criterion}, one dot an XAI method, 1 is "
            "best; on the line they agree. Networks without stored scores of other metrics are not shown.",
            columns_of(rows),
            (
                {"mark": "line", "values": [[0, 0], [most, most]], "stroke": "var(--muted)", "strokeDasharray": "4 4"},
                {
                    "mark": "text",
                    "x": "consensus",
                    "y": "rank",
                    "text": "method",
                    "dx": 6,
                    "textAnchor": "start",
                    "fontSize": 9,
                    "fill": "currentColor",
                    "stroke": "var(--page)",
                    "strokeWidth": 3,
                },
                {"mark": "dot", "x": "consensus", "y": "rank", "r": 3.5, "fill": colour("this run")},
                {"mark": "tip", "pointer": "xy", "x": "consensus", "y": "rank", "title": "method"},
            ),
            {
                "x": {"domain": [0, most], "label": "mean rank by the other metrics"},
                "y": {"domain": [0, most], "label": "rank by this metric"},
                "marginRight": 60,
                "aspect": 0.95,
            },
            panel="network",
        )
