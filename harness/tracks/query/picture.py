"""Performance over annotation budgets: of a run beside the board's methods, and of all methods of a board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.figure import PALETTE, Figure, as_svg, panels
from harness.tracks.leaderboard import Entry
from harness.tracks.query.curves import BUDGETS, CURVES, FOREGROUND, PERFORMANCE
from harness.tracks.query.judging import judge

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from harness.tracks.query.track import QueryTrack

_GREY, _LIGHT = "#777777", "#cccccc"
_DASHES = ("-", "--", ":", "-.")
_LEGEND_LINE = 0.2  # inches
_IMAGES, _PATCHES, _SHARE = "annotated images", "annotated patches", "annotated share of the foreground"


@dataclass(frozen=True)
class Curves:
    """One method on one study. budget (loops,), performance and share (seeds, loops); share is None for images."""

    budget: np.ndarray
    performance: np.ndarray
    share: np.ndarray | None = None

    def axes(self) -> dict[str, np.ndarray]:
        """What the curve can be drawn over: (seeds, loops) by name."""
        import numpy as np

        budget = np.broadcast_to(self.budget, self.performance.shape)
        return {_IMAGES: budget} if self.share is None else {_PATCHES: budget, _SHARE: self.share}


def budget_curves(track: QueryTrack, answers: Mapping[Unit, Answers], board: Sequence[Entry]) -> Figure:
    """A panel per study: the run's seeds, their mean, and behind them the means of the board's methods."""
    rivals = _of_entries(board)
    unit = "Patches" if track.benchmark.performance == "dice" else "Images"
    text = f"{unit} annotated and what the networks trained on them achieve on held-out data. Thin lines are seeds."
    if rivals:
        text += " Grey lines are methods of the board, the darker ones draw at random."
    mine = _of_run(track, answers)
    return Figure(
        "Performance by annotation budget",
        text,
        _run_svg(mine, rivals, PERFORMANCE[track.benchmark.performance]) if mine else "",
    )


def curves_svg(entries: Sequence[Entry], studies: Sequence[str] = ()) -> str:
    """Mean curves of all methods of a board as SVG, the same text every time; empty without curves.

    `studies` are drawn in this order; without any, all by name.
    """
    curves = _of_entries(entries)
    return _board_svg(curves, studies) if curves else ""


def _of_run(track: QueryTrack, answers: Mapping[Unit, Answers]) -> dict[str, Curves]:
    """study -> the run's curves, of seeds that have scores."""
    import numpy as np

    curves = {}
    for name, setting in track.settings.items():
        own = [judge(setting, track.benchmark, outputs) for unit, outputs in answers.items() if unit.study == name]
        if own:
            performance = np.stack([each.performance for each in own])
            budget = setting.study.start + setting.study.query * np.arange(performance.shape[1])
            shares = [each.foreground for each in own if each.foreground is not None]
            curves[name] = Curves(budget, performance, np.stack(shares) if shares else None)
    return curves


def _of_entries(entries: Sequence[Entry]) -> dict[str, dict[str, Curves]]:
    """method -> study -> curves."""
    found: dict[str, dict[str, Curves]] = {}
    for each in entries:
        for name in (key.removeprefix(CURVES) for key in each.arrays if key.startswith(CURVES)):
            own = [each.arrays.get(kind + name) for kind in (BUDGETS, CURVES, FOREGROUND)]
            if own[0] is not None and own[1] is not None:
                found.setdefault(each.method.name, {})[name] = Curves(own[0], own[1], own[2])
    return found


def _run_svg(mine: Mapping[str, Curves], rivals: Mapping[str, Mapping[str, Curves]], ylabel: str) -> str:
    with _axes(mine) as (drawing, found):
        for (study, axis), panel in found.items():
            for name, of in rivals.items():
                if study in of and axis in of[study].axes():
                    colour = _GREY if "random" in name else _LIGHT
                    _draw_mean(panel, of[study], axis, color=colour, linewidth=1.2, zorder=1)
            for x, y in zip(mine[study].axes()[axis], mine[study].performance, strict=True):
                panel.plot(x, y, color=PALETTE[0], linewidth=0.7, alpha=0.5)
            _draw_mean(panel, mine[study], axis, color=PALETTE[0], linewidth=2.0, marker="o", markersize=4)
            panel.set_ylabel(ylabel)
        return as_svg(drawing)


def _board_svg(curves: Mapping[str, Mapping[str, Curves]], studies: Sequence[str]) -> str:
    every = {study: own for of in curves.values() for study, own in of.items()}
    drawn = {study: every[study] for study in studies or sorted(every) if study in every}
    best_first = sorted(curves, key=lambda name: (-_height(curves[name]), name))
    with _axes(drawn, least_height=_LEGEND_LINE * (len(curves) + 1)) as (drawing, found):
        for (study, axis), panel in found.items():
            for number, name in enumerate(best_first):
                if study in curves[name] and axis in curves[name][study].axes():
                    colour, dash = PALETTE[number % len(PALETTE)], _DASHES[number // len(PALETTE) % len(_DASHES)]
                    _draw_mean(
                        panel, curves[name][study], axis, color=colour, linestyle=dash, linewidth=1.4, label=name
                    )
            panel.set_ylabel("performance")
        handles = {label: h for p in found.values() for h, label in zip(*p.get_legend_handles_labels(), strict=True)}
        ordered = [name for name in best_first if name in handles]
        drawing.legend([handles[name] for name in ordered], ordered, loc="outside right upper", frameon=False)
        return as_svg(drawing)


def _height(of: Mapping[str, Curves]) -> float:
    """Mean performance over studies, seeds and loops: about the order of the board."""
    return sum(float(curves.performance.mean()) for curves in of.values()) / len(of)


@contextmanager
def _axes(
    studies: Mapping[str, Curves], least_height: float = 0.0
) -> Iterator[tuple[Drawing, dict[tuple[str, str], Axes]]]:
    """A panel per study and axis, three in a line; for segmentation both axes of a study beside each other."""
    wanted = [(study, axis) for study, own in studies.items() for axis in own.axes()]
    most = 2 if any(axis == _SHARE for _, axis in wanted) else 3
    with panels(len(wanted), most, 3.6, 2.7, least_height) as (drawing, found):
        for panel, (study, axis) in zip(found, wanted, strict=True):
            panel.set(title=study, xlabel=axis)
            if axis != _SHARE:
                panel.set_xticks(studies[study].budget)
        yield drawing, dict(zip(wanted, found, strict=True))


def _draw_mean(panel: Axes, curves: Curves, axis: str, **style: Any) -> None:
    panel.plot(curves.axes()[axis].mean(axis=0), curves.performance.mean(axis=0), **style)
