"""Paper-scale plans as tasks: units as `harness plan` makes them, their length from the costs that it declares.

Declared costs are an order of magnitude (`harness/tracks/costs.toml`); how much single steps differ from them is drawn,
log-normal with the declared cost as its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.execution.evaluate import Prepared, Request, prepare
from harness.execution.waiting import in_turns
from harness.spec.kinds import kind_of
from harness.spec.run import Unit
from harness.storage import seed_of
from tests.performance.simulation.model import Step, Task

SPREAD = 0.25
"""Standard deviation of the logarithm of a step's length."""


@dataclass(frozen=True)
class Campaign:
    """Methods under a paper-scale benchmark. steps: of a unit, from its declared seconds."""

    title: str
    benchmark: str
    methods: tuple[str, ...]
    steps: Callable[[Prepared, Unit, float], Iterator[Step]]


def trainings(prepared: Prepared, unit: Unit, seconds: float) -> Iterator[Step]:
    """A campaign's trainings, each kept when it ends. Those of the start are the same for all strategies of a seed."""
    count, study = prepared.track.workload([unit]).trainings, prepared.track.study(unit.study)
    start = count // study.loops
    for number in range(count):
        product = f"{unit.study} {unit.model} start {number}" if number < start else ""
        yield Step(seconds / count, product)


def outputs_and_scores(prepared: Prepared, unit: Unit, seconds: float) -> Iterator[Step]:
    """Outputs of a network on all its sets, cached for all units that ask about it; then the method's own work."""
    yield Step(seconds, f"outputs of {unit.model}")
    yield Step(kind_of("confidence").unit_seconds + 30.0)


def maps(prepared: Prepared, unit: Unit, seconds: float) -> Iterator[Step]:
    """Maps and their metrics, in one piece."""
    yield Step(seconds)


_STRATEGIES = """random-sampling foreground-random-33 foreground-random-66 predictive-entropy bald power-pe power-bald
    softrank-bald"""
_EXPLAINERS = """occlusion lime kernel-shap saliency input-x-gradient guided-backprop grad-cam score-cam grad-cam-plus-plus
    integrated-gradients expected-gradients deep-lift deep-lift-shap lrp raw-attention attention-rollout attention-lrp"""
CAMPAIGNS = (
    Campaign("nnActive, one strategy", "query-nnactive@1", ("random-sampling",), trainings),
    Campaign("nnActive, its 8 strategies", "query-nnactive@1", tuple(_STRATEGIES.split()), trainings),
    Campaign("FD-Shifts, one score", "confidence-fdshifts@3", ("msr",), outputs_and_scores),
    Campaign("LATEC, its 17 methods", "attribution-latec@3", tuple(_EXPLAINERS.split()), maps),
)


def tasks_of(campaign: Campaign, seed: int = 0, spread: float = SPREAD) -> list[Task]:
    """Of every method one after the other, as if their commands had been given at once. Units that do not apply are left out."""
    found = []
    for name in campaign.methods:
        prepared = prepare(Request(name, campaign.benchmark, out=Path("runs"), device="cpu"))
        for key in in_turns(prepared.plan.units):
            unit = prepared.plan.units[key]
            if prepared.track.inapplicable(unit):
                continue
            cost = prepared.track.estimate([unit])
            if cost is None or cost.hours is None:
                continue
            steps = campaign.steps(prepared, unit, 3600 * cost.hours)
            found.append(Task(key, tuple(_spread(step, key, i, seed, spread) for i, step in enumerate(steps))))
    return found


def _spread(step: Step, key: str, number: int, seed: int, spread: float) -> Step:
    """The same draw for the same step, so that clusters are compared on the same work; one for a product, whoever makes it."""
    rng: Any = np.random.default_rng(seed_of([seed, step.product or [key, number]]))
    return Step(step.seconds * float(np.exp(rng.normal(-(spread**2) / 2, spread))), step.product)
