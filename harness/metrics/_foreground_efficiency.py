"""Foreground efficiency: how fast performance approaches that of the full data per annotated foreground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.metrics._checks import FloatArray, numeric, require_option, require_within
from harness.statistics import bootstrap_weights, percentile_interval

Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]
"""Method → (annotated share of the foreground voxels, performance), of equal shape and both in [0, 1]."""

_AT_FULL = 1e-6  # share of the starting gap below which a fitted curve counts as closed
_GRID = np.concatenate([-np.geomspace(100, 0.01, 33), [0.0], np.geomspace(0.01, 1e5, 57)])


@dataclass(frozen=True)
class EfficiencyFit:
    """The curves y = c - a exp(-b (x - x0)), with a, c and x0 shared by all methods and b of each method's own.

    `spread` is the standard error of b; in compatibility mode "nnactive" its square, the variance.
    """

    efficiency: Mapping[str, float]
    spread: Mapping[str, float]
    a: float
    c: float
    x0: float


@dataclass(frozen=True)
class EfficiencyInterval:
    """A foreground efficiency with its 95 % percentile interval over resampled seeds.

    `undefined` replicates had no fit and are left out; without any other, the interval is nan.
    """

    value: float
    low: float
    high: float
    undefined: int


def foreground_efficiency(
    curves: Curves,
    full_performance: float,
    *,
    tolerance: float = 0.01,
    compatibility: Literal["nnactive"] | None = None,
) -> dict[str, float]:
    r"""Rate b at which each method closes the gap to full data per unit of annotated foreground. Higher is better.

    $$ y = c - a \, e^{-b (x - x_0)} $$

    $x$: annotated share of the foreground; $y$: performance; $b$ is the efficiency.

    Of curves of one setting, {method: (fraction, performance)}: all loops and seeds, cumulative, in arrays of any
    shape. b is fitted to y = c - a exp(-b (x - x0)) by least squares, with c = `full_performance` in [0, 1], x0 the
    smallest fraction of all methods and a = c - (mean performance at x0). Unbounded: a method that gets worse
    has b < 0. All methods enter x0 and a, so values are comparable within one setting only.

    ValueError where the model has no meaning: performance above c by more than `tolerance` (c is itself a noisy
    measurement: repeated full-data trainings of nnActive differ by 0.005; 0 refuses any excess), a start that is
    not below c, a method that annotates no more than x0 or is at c right after it; and for empty, non-finite or
    mismatched arrays and values outside [0, 1].

    "nnactive" accepts any performance above c and takes the optimum that is reached from b = 1, as the published
    code does; otherwise a fit that got stuck on a plateau is started again from the best of a grid. nnActive, 2025.
    """
    fit = foreground_efficiency_fit(curves, full_performance, tolerance=tolerance, compatibility=compatibility)
    return dict(fit.efficiency)


def foreground_efficiency_fit(
    curves: Curves,
    full_performance: float,
    *,
    tolerance: float = 0.01,
    compatibility: Literal["nnactive"] | None = None,
) -> EfficiencyFit:
    """The fit behind `foreground_efficiency`, with its parameters and their spread. Same input and errors."""
    if compatibility not in (None, "nnactive"):
        raise ValueError(f"compatibility must be None or 'nnactive', not {compatibility!r}.")
    published = compatibility == "nnactive"
    points = {name: _points(name, *curve) for name, curve in curves.items()}
    _check(points, full_performance, np.inf if published else tolerance)
    a, x0 = _start(points, full_performance)
    efficiency, spread = {}, {}
    for name, (x, y) in points.items():
        distance, gap = x.ravel() - x0, (full_performance - y.ravel()) / a
        b = _rate(distance, gap, restart=not published)
        if b is None:
            raise ValueError(f"the curve of {name!r} does not determine an efficiency.")
        variance = _variance(distance, gap, b)
        efficiency[name], spread[name] = b, variance if published else float(np.sqrt(variance))
    return EfficiencyFit(efficiency, spread, a, float(full_performance), x0)


def foreground_efficiency_interval(
    curves: Curves, full_performance: float, *, n: int = 500, seed: int = 0, tolerance: float = 0.01
) -> dict[str, EfficiencyInterval]:
    """`foreground_efficiency` with a 95 % percentile interval from `n` resamples of the seeds.

    Of curves {method: (fraction, performance)} in arrays (seeds, loops); row s is the same seed for all methods,
    which share their resamples. Each resample repeats the whole computation, x0 and a included. With a handful
    of seeds such an interval is too narrow: read it as a lower bound of the uncertainty. ValueError as for
    `foreground_efficiency`, for n < 1, arrays of another form and less than two seeds.
    """
    values = foreground_efficiency(curves, full_performance, tolerance=tolerance)
    return {
        name: _interval(values[name], replicates)
        for name, replicates in efficiency_replicates(curves, full_performance, n, seed).items()
    }


def efficiency_replicates(curves: Curves, full_performance: float, n: int, seed: int) -> dict[str, FloatArray]:
    """Efficiency of each method in `n` resamples of the seeds, (n,), nan where undefined; as the interval has them."""
    points = {name: _points(name, *curve) for name, curve in curves.items()}
    seeds = {x.shape[0] if x.ndim == 2 else 0 for x, _ in points.values()}
    if len(seeds) > 1 or seeds == {0}:
        raise ValueError("curves must be arrays (seeds, loops) with the same seeds for every method.")
    if seeds == {1}:
        raise ValueError("a bootstrap over seeds needs at least two seeds.")
    draws, times = np.unique(bootstrap_weights(seeds.pop(), n, seed), axis=0, return_counts=True)
    replicates = np.repeat([_resampled(points, full_performance, draw) for draw in draws], times, axis=0)
    return {name: replicates[:, place] for place, name in enumerate(curves)}


def _resampled(points: Mapping[str, tuple[FloatArray, FloatArray]], c: float, draw: NDArray[np.int32]) -> FloatArray:
    """Efficiencies (methods,) where seed s occurs draw[s] times; nan where undefined."""
    chosen = {name: (np.repeat(x, draw, axis=0), np.repeat(y, draw, axis=0)) for name, (x, y) in points.items()}
    a, x0 = _start(chosen, c)
    if a <= 0:
        return np.full(len(chosen), np.nan)
    rates = [_rate(x.ravel() - x0, (c - y.ravel()) / a, restart=True) for x, y in chosen.values()]
    return np.array([np.nan if rate is None else rate for rate in rates])


def _interval(value: float, replicates: FloatArray) -> EfficiencyInterval:
    low, high = percentile_interval(replicates)
    return EfficiencyInterval(value, float(low), float(high), int(np.isnan(replicates).sum()))


def _start(points: Mapping[str, tuple[FloatArray, FloatArray]], c: float) -> tuple[float, float]:
    """The gap a to full performance at the smallest annotated fraction x0, and x0."""
    x0 = min(float(x.min()) for x, _ in points.values())
    start = np.concatenate([y[x == x0] for x, y in points.values()])
    return c - float(start.mean()), x0


def _rate(distance: FloatArray, gap: FloatArray, restart: bool) -> float | None:
    """The least-squares b of gap = exp(-b distance); None if the points determine none."""
    ahead = distance[distance > 0]
    if not len(ahead):
        return None
    b = _least_squares(distance, gap, 1.0)
    if restart:
        losses = _losses(distance, gap, _GRID)
        if b is None or losses.min() < _losses(distance, gap, np.array([b]))[0]:
            b = _least_squares(distance, gap, float(_GRID[losses.argmin()]))
    if b is None or not np.isfinite(b) or np.exp(-b * ahead.min()) < _AT_FULL:
        return None
    return b


def _least_squares(distance: FloatArray, gap: FloatArray, start: float) -> float | None:
    import warnings

    from scipy.optimize import OptimizeWarning, curve_fit

    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # about the covariance, which is not used
        try:
            b, _ = curve_fit(lambda x, b: np.exp(-b * x), distance, gap, p0=[start])
        except RuntimeError:
            return None
    return float(b[0])


def _variance(distance: FloatArray, gap: FloatArray, b: float) -> float:
    """Variance of b: of the residuals, over the squared sensitivity of the curve to b. Infinite for one point."""
    curve = np.exp(-b * distance)
    freedom = len(gap) - 1
    return float(np.sum((gap - curve) ** 2) / freedom / np.sum((distance * curve) ** 2)) if freedom else np.inf


def _losses(distance: FloatArray, gap: FloatArray, rates: FloatArray) -> FloatArray:
    """Sum of squares for each rate (rates,); infinite where a curve leaves the range of numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        losses = np.sum((gap - np.exp(-np.outer(rates, distance))) ** 2, axis=1)
    return np.where(np.isfinite(losses), losses, np.inf)


def _points(name: str, fraction: ArrayLike, performance: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = np.atleast_1d(numeric(f"fraction of {name!r}", fraction).astype(np.float64))
    y = np.atleast_1d(numeric(f"performance of {name!r}", performance).astype(np.float64))
    if x.shape != y.shape:
        raise ValueError(f"{name!r} has fractions of shape {x.shape} and performance of shape {y.shape}.")
    require_within(f"fraction of {name!r}", x, 0, 1)
    require_within(f"performance of {name!r}", y, 0, 1)
    return x, y


def _check(points: Mapping[str, tuple[FloatArray, FloatArray]], c: float, tolerance: float) -> None:
    if not points:
        raise ValueError("curves is empty: there is no method to evaluate.")
    require_option("full_performance", c, 0, 1)
    require_option("tolerance", tolerance, 0, np.inf)
    for name, (_, y) in points.items():
        if y.max() > c + tolerance:
            raise ValueError(
                f"{name!r} performs at {y.max():g}, above the full-data performance {c:g}: "
                "the curve has no gap left that an efficiency could describe."
            )
    a, x0 = _start(points, c)
    if a <= 0:
        raise ValueError(f"the performance {c - a:g} at the start ({x0:g}) is not below that of full data, {c:g}.")
