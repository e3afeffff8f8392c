"""Units, asking, worth and picture of the kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from harness.methods.answers import as_array
from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import Check, until_failure
from harness.spec.result import Passes
from harness.spec.run import Unit
from harness.statistics import bootstrap_weights, tied_ranks
from harness.storage import read_arrays, seed_of
from harness.tracks.base import (
    Answers,
    Measurement,
    PlannedUnit,
    Score,
    Track,
    Verb,
    Workspace,
    check_unchanged,
    spread,
)
from harness.tracks.leaderboard import BoardMetric, Leaderboard
from harness.tracks.views import Numbers, Shown, View

METRIC = "error_correlation"


class RegressionHost:
    """In the method worker."""

    def __init__(self, definition: Any, device: str) -> None:
        self._definition = definition

    @property
    def verbs(self) -> Mapping[str, Verb]:
        return {"score": self.score}

    def passes(self) -> Passes | None:
        return None

    def score(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        method = self._definition().score if isinstance(self._definition, type) else self._definition
        return {"uncertainty": as_array(method(arrays["predictions"]))}


def check_uncertainty(method: MethodClient) -> Iterator[Check]:
    """The conformance suite."""
    predictions = np.random.default_rng(0).normal(size=(5, 16))

    def answers() -> str:
        checked(method.call("score", {"predictions": predictions}, seed=0), 16)
        return ""

    return until_failure({"answers with finite numbers of shape (n,)": answers})


def checked(answer: Mapping[str, np.ndarray], samples: int) -> np.ndarray:
    """Uncertainties (n,) as float64. Raises MethodError."""
    found = answer.get("uncertainty", np.empty(0))
    if found.shape != (samples,) or not np.isfinite(found).all():
        raise MethodError("invalid", f"it must return {samples} finite uncertainties")
    return found.astype(np.float64)


class RegressionTrack(Track):
    def metric_versions(self) -> dict[str, str]:
        return {METRIC: "1"}

    def planned(self) -> Iterator[PlannedUnit]:
        for study in self.benchmark.studies:
            for model in self.benchmark.source.models:
                yield PlannedUnit(study.id, model.id, model.seed, self.protocol.verified(model.table)[1])

    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        check_unchanged(unit, self.protocol.verified(self._table(unit))[1])
        predictions = self._arrays(unit)["predictions"]
        answer = method.call("score", {"predictions": predictions}, seed=seed_of([unit.seed, unit.model]))
        return {"uncertainty": checked(answer, predictions.shape[1])}

    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        arrays = self._arrays(unit)
        error, uncertainty = np.abs(arrays["predictions"].mean(axis=0) - arrays["targets"]), outputs["uncertainty"]
        settings = self.benchmark.bootstrap
        weights = bootstrap_weights(len(error), settings.replicates, seed_of([settings.seed, unit.study]))
        rows = [np.arange(len(error)), *(np.repeat(np.arange(len(error)), row) for row in weights)]
        draws = np.array([_correlation(uncertainty[row], error[row]) for row in rows])
        return Measurement({METRIC: Score(draws, len(error))})

    def views(self, shown: Shown) -> Iterator[View]:
        rows = tuple((unit.label, float(outputs["uncertainty"].mean())) for unit, outputs in shown.answers.items())
        yield Numbers("Uncertainties", f"of {len(rows)} units", ("unit", "mean"), rows)

    def _table(self, unit: Unit) -> Any:
        return next(model.table for model in self.benchmark.source.models if model.id == unit.model)

    def _arrays(self, unit: Unit) -> dict[str, np.ndarray]:
        first, last = self.study(unit.study).rows
        found = read_arrays(self.protocol.verified(self._table(unit))[0])
        return {name: array[..., first:last][..., spread(last - first, unit.limit)] for name, array in found.items()}


class RegressionLeaderboard(Leaderboard):
    def metric(self) -> BoardMetric:
        return BoardMetric(METRIC, "rank correlation with the error", lower_is_better=False, scale=100.0)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; NaN where either is constant."""
    ranks = tied_ranks(np.stack([a, b]))
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).sum(axis=1).prod())
    return float((centred[0] * centred[1]).sum() / scale) if scale else float("nan")
