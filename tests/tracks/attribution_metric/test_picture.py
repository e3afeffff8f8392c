"""The views of a metric's run hold the ranks that were judged."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from harness.spec.board import Cell
from harness.tracks.attribution_metric.picture import metric_views
from harness.tracks.views import Rival, Shown

NAMES = ("saliency", "lime", "lrp")
OWN, CONSENSUS = np.array([1.0, 2.0, 3.0]), np.array([1.2, 1.8, 2.9])


def track(orders):
    """A track whose judgements are given by unit label: (tau, own ranks, consensus)."""

    def judged(unit, outputs):
        tau, own, consensus = orders[unit.label]
        order = {} if own is None else {"faithfulness": (own, consensus)}
        return SimpleNamespace(order=order, draws={"tau_faithfulness": np.array([tau, 0.0])}, methods=NAMES)

    return SimpleNamespace(method=SimpleNamespace(criterion="faithfulness"), judged=judged)


def shown(*labels, **given):
    return Shown(answers=_Units(labels), measured={}, summary=(), **given)


class _Units(dict):
    """Units by label, which stand for themselves."""

    def __init__(self, labels):
        super().__init__({_Unit(label): {} for label in labels})


class _Unit(str):
    @property
    def label(self):
        return str(self)


def test_every_network_and_method_is_there():
    orders = {
        "image · cnn": (1.0, OWN, CONSENSUS),
        "image · vit": (-1.0, OWN[::-1], CONSENSUS),
        "cloud · net": (0, None, None),
    }
    (chart,) = metric_views(track(orders), shown(*orders))
    columns = chart.columns
    assert list(dict.fromkeys(columns["network"])) == [
        "image · cnn: Kendall's tau 1.00",
        "image · vit: Kendall's tau -1.00",
    ]
    assert columns["method"] == [*NAMES, *NAMES]
    assert columns["rank"] == [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]
    assert columns["consensus"] == [1.2, 1.8, 2.9] * 2


def test_without_networks_there_is_nothing():
    assert list(metric_views(track({}), shown())) == []


def test_a_place_is_shown_beside_rivals():
    mine, theirs = (Cell(value=value, low=value - 1, high=value + 2) for value in (40.0, 50.0))
    rival = Rival("best", "deletion", {"power": theirs}, None, lambda: (None, {}))
    (chart,) = metric_views(track({}), shown(cells={"power": mine}, rivals=(rival,)))
    rows = list(zip(*(chart.columns[name] for name in ("role", "value", "low", "high")), strict=True))
    assert sorted(rows) == [("best", 50.0, 49.0, 52.0), ("this run", 40.0, 39.0, 42.0)]
    assert [each.label for each in chart.keys] == ["this run", "best: deletion"]
