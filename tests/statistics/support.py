"""Tables of scores for the tests, and the ranking once more: exact, element by element, from the paper's text."""

from __future__ import annotations

from fractions import Fraction
from statistics import median

import pandas as pd
from hypothesis import strategies as st

CELL = ["model", "data"]
METRICS = {"k1": ("easy", "higher"), "k2": ("easy", "lower"), "k3": ("hard", "lower")}


def row(method, cell, metric, observation, value, status="ok"):
    criterion, direction = METRICS[metric]
    names = ("method", *CELL, "metric", "criterion", "direction", "observation", "value", "status")
    return dict(zip(names, (method, *cell, metric, criterion, direction, observation, value, status), strict=True))


@st.composite
def score_tables(draw, min_methods=1, max_methods=5, exempt=True):
    """A complete table with many exact ties; method "a" may be exempt from the last cell."""
    methods = list("abcdefgh")[: draw(st.integers(min_methods, max_methods))]
    cells = [("m1", "d1"), ("m2", "d1"), ("m1", "d2")][: draw(st.integers(1, 3))]
    metrics = list(METRICS)[: draw(st.integers(1, 3))]
    observations = range(draw(st.integers(1, 5)))
    spared = exempt and len(cells) > 1 and draw(st.booleans())
    number = st.integers(-3, 9)
    return pd.DataFrame(
        row(method, cell, metric, f"{cell[1]}/{o}", *(none if out else (draw(number), "ok")))
        for cell in cells
        for method in methods
        for none, out in [((None, "not-applicable"), spared and (method, cell) == ("a", cells[-1]))]
        for metric in metrics
        for o in observations
    )


def brute_force(frame, pool):
    """{(criterion, method): (ranks over metrics)} for complete tables, in exact arithmetic."""
    rows = [r for r in frame.to_dict("records") if r["status"] == "ok"]
    found = {}
    for metric in sorted({r["metric"] for r in rows}):
        scores = {}
        for cell in sorted({(r["model"], r["data"]) for r in rows}):
            here = [r for r in rows if r["metric"] == metric and (r["model"], r["data"]) == cell]
            low, high = (percentile([r["value"] for r in here if r["method"] in pool], q) for q in (25, 975))
            for method in {r["method"] for r in here}:
                clipped = [min(max(Fraction(r["value"]), low), high) for r in here if r["method"] == method]
                scaled = [(value - low) / (high - low) if high > low else Fraction(1, 2) for value in clipped]
                scores.setdefault(method, []).append(median(scaled))
        mean = {method: sum(values) / len(values) for method, values in scores.items()}
        criterion, direction = METRICS[metric]
        for method, own in mean.items():
            rank = Fraction(1)
            for rival in pool:
                if rival != method:
                    better = mean[rival] > own if direction == "higher" else mean[rival] < own
                    rank += Fraction(int(better)) + Fraction(int(mean[rival] == own), 2)
            found.setdefault((criterion, method), []).append(rank)
    return found


def percentile(values, per_mille):
    ordered = sorted(map(Fraction, values))
    position = Fraction(per_mille, 1000) * (len(ordered) - 1)
    floor = int(position)
    following = ordered[min(floor + 1, len(ordered) - 1)]
    return ordered[floor] + (following - ordered[floor]) * (position - floor)


def rank_table(criterion, columns):
    """{metric: {method: rank}} as a table of metric ranks."""
    return pd.DataFrame(
        [(m, criterion, metric, float(r)) for metric, ranks in columns.items() for m, r in ranks.items()],
        columns=["method", "criterion", "metric", "rank"],
    )
