"""The attribution track: a method's maps of each network's decisions, and what they are worth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.methods.answers import check_spread, checked_maps
from harness.methods.client import MethodClient, MethodError
from harness.metrics.attribution.registry import make_metric
from harness.spec.attribution import AttributionBenchmark, AttributionStudy
from harness.spec.errors import UsageError
from harness.spec.method import AttributionMethod
from harness.spec.run import Unit
from harness.storage import IntegrityError, array_id, content_id, seed_of
from harness.tracks.attribution.models import BuiltNetwork, weights_of
from harness.tracks.attribution.sources import SampleSet, built, check_fit
from harness.tracks.attribution.studies import NetworksTrack
from harness.tracks.base import Answers, Measurement, PlannedUnit, Tolerance, Workspace, check_applies, check_unchanged

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from harness.metrics.attribution.base import MapMetric
    from harness.tracks.costs import Estimate
    from harness.tracks.views import Shown, View

MAPS, SCORES = "maps", "score."
"""Answers of a unit: the maps (n, 1 or c, *spatial) as answered, and `score.<metric>` (n,) for every metric."""

_ROUNDING = 1e-4  # of the largest value of the maps: what another order of sums may change
_SCORES_ROUNDING = 1e-3  # of the largest score, see `AttributionTrack.tolerance`


class AttributionTrack(NetworksTrack):
    """See `harness.tracks.base.Track`."""

    benchmark: AttributionBenchmark
    method: AttributionMethod

    def metric_versions(self) -> dict[str, str]:
        criteria = {metric.criterion for study in self.benchmark.studies for metric in self.metrics(study)}
        missing = [criterion for criterion in self.benchmark.overall if criterion not in criteria]
        by_default = "overall" not in self.benchmark.model_fields_set  # then those count that there are
        if missing and (not by_default or missing == [*self.benchmark.overall]):
            raise UsageError(
                f"{self.protocol.path}: overall counts {missing[0]}, of which no study takes a metric; there are metrics "
                f"of {', '.join(sorted(criteria))}, as in overall = {sorted(criteria)}."
            )
        return {use.id: make_metric(use.id, {}).version for use in self.benchmark.metrics}

    def planned(self) -> Iterator[PlannedUnit]:
        for study in self.benchmark.studies:
            for model in map(self.model, study.models):
                yield PlannedUnit(study.id, model.id, model.seed, self.source.artefacts(model, study.samples))

    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        from harness.tracks.attribution.scoring import Explained, score_maps

        model, study = self.model(unit.model), self.study(unit.study)
        check_applies(self.inapplicable(unit))
        check_unchanged(unit, self.source.artefacts(model, study.samples))
        samples = self.samples(unit)
        # Built here first: a mistake in the benchmark's own files is not the method's.
        network = built(self.source, model, self.device)
        check_fit(network, samples, f"{model.id} on {study.samples}")
        if samples.masks is None and (needy := [each.id for each in self.metrics(study) if "masks" in each.needs]):
            raise UsageError(f"study {study.id}: {needy[0]} needs masks, which the set {study.samples} does not have.")
        conversation = _ExplainSession(self, unit, method, samples, network)
        conversation.begin()
        maps = conversation.explain(samples.inputs, samples.targets)
        if not self.method.reference:
            check_spread(maps)
        conversation.check_repeatable(maps)
        explained = Explained(samples, maps, network, conversation.as_tensors, self._identity(unit))
        scores = score_maps(self.benchmark, self.metrics(study), explained)
        return {MAPS: maps, **{SCORES + name: values for name, values in scores.items()}}

    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        """Medians of the stored scores of single samples, which are kept beside them."""
        from harness.tracks.attribution.scoring import UNIFORM, median_score, uniform_share

        values = self.values(unit, outputs)
        self._check_stored(unit, outputs)
        scores = {UNIFORM: uniform_share(outputs[MAPS])} if MAPS in outputs and metrics is None else {}
        scores |= {
            name: median_score(scores_of, self.benchmark.bootstrap)
            for name, scores_of in values.items()
            if metrics is None or name in metrics
        }
        return Measurement(scores, values)

    def metrics_of(self, studies: Sequence[AttributionStudy]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(metric for study in studies for metric in study.metrics))

    def carried(self, name: str) -> bool:
        """The scores of single samples. The maps themselves are too many bytes; `run.json` has their hash."""
        return name.startswith(SCORES)

    def as_reported(self, unit: Unit, submitted: Answers) -> tuple[str, ...]:
        """Without the maps all metrics; with them those that ask the method for further maps."""
        from harness.tracks.attribution.scoring import UNIFORM

        metrics = self.metrics(self.study(unit.study))
        if MAPS not in submitted:
            return (UNIFORM, *(metric.id for metric in metrics))
        return tuple(metric.id for metric in metrics if "explain" in metric.needs)

    def problems(self, unit: Unit, submitted: Answers) -> Iterator[str]:
        """Scores that no map gives, and, where the maps are there, scores that these do not.

        Scores that need no further answer of the method are recomputed from maps, and must agree as far as `tolerance`
        says (other processors sum in another order); the others are as reported. Without the maps, all are.
        """
        values = self.values(unit, submitted)
        self._check_stored(unit, submitted)
        for metric in self.metrics(self.study(unit.study)):
            if not _within(values[metric.id], metric.range):
                low, high = metric.range
                yield f"{metric.id} of {unit.label} holds scores outside of its range, {low:g} to {high:g}"
        again = self.values(unit, self.rescored(unit, submitted)) if MAPS in submitted else {}
        for name in again:
            if not _agree(values[name], again[name]):
                yield f"{name} of {unit.label} is not what its maps give"

    def tolerance(self, name: str) -> Tolerance:
        """Maps differ by the rounding of one backward pass; scores of them by more.

        A score adds up many forwards in single precision, most metrics go through the pixels in the order of their
        attribution, in which nearly equal ones change places, and robustness takes the worst of several maps. Methods
        that declare themselves stochastic decide by draws, so that rounding can change more than the last digits.
        """
        relative, reason = _SCORES_ROUNDING, "single precision, nearly equal pixels"
        if name == MAPS:
            relative, reason = _ROUNDING, "single precision"
        return Tolerance(10 * relative, f"{reason}, draws") if self.method.stochastic else Tolerance(relative, reason)

    def estimate(self, units: Sequence[Unit]) -> Estimate | None:
        from harness.tracks.attribution.costs import maps_estimate

        return maps_estimate(self.benchmark, units) if self.benchmark.source.kind == "arrays" else None

    def views(self, shown: Shown) -> Iterator[View]:
        from harness.tracks.attribution.picture import attribution_views

        maps = {unit: outputs[MAPS] for unit, outputs in shown.answers.items() if MAPS in outputs}
        return attribution_views(self, shown, maps)

    def values(self, unit: Unit, outputs: Answers) -> dict[str, np.ndarray]:
        """Scores (n,) of each metric of the unit's study. Raises IntegrityError if one is missing."""
        values = {}
        for metric in self.metrics(self.study(unit.study)):
            if SCORES + metric.id not in outputs:
                raise IntegrityError(f"the stored answers of {unit.label} lack the scores of {metric.id}")
            values[metric.id] = outputs[SCORES + metric.id]
        return values

    def rescored(self, unit: Unit, outputs: Answers) -> Answers:
        """The same outputs with every score recomputed that needs maps only, and no further answer of the method."""
        from harness.tracks.attribution.scoring import Explained, score_maps

        study = self.study(unit.study)
        network = built(self.source, self.model(unit.model), self.device)
        explained = Explained(self.samples(unit), outputs[MAPS], network, None, self._identity(unit))
        metrics = [metric for metric in self.metrics(study) if "explain" not in metric.needs]
        scores = score_maps(self.benchmark, metrics, explained)
        return {**outputs, **{SCORES + name: values for name, values in scores.items()}}

    def metrics(self, study: AttributionStudy) -> tuple[MapMetric, ...]:
        """The metrics of a study with its constants. Raises UsageError for what no metric has."""
        uses = {use.id: use for use in self.benchmark.metrics}
        made = []
        for name in study.metrics:
            try:
                made.append(make_metric(name, {**uses[name].constants, **uses[name].by_study.get(study.id, {})}))
            except UsageError as error:
                raise UsageError(f"{self.protocol.path}: study {study.id}: {error}") from error
        return tuple(made)

    def _check_stored(self, unit: Unit, stored: Answers) -> None:
        """Raise IntegrityError unless there is one score of each metric for each sample, and maps fit the samples."""
        inputs = self.samples(unit).inputs
        names = {SCORES + metric.id for metric in self.metrics(self.study(unit.study))}
        if unknown := sorted(stored.keys() - names - {MAPS}):
            raise IntegrityError(
                f"the stored answers of {unit.label} hold {unknown[0]}, which its study does not measure"
            )
        for name in names:
            if stored[name].shape != (len(inputs),) or stored[name].dtype != "float64":
                raise IntegrityError(
                    f"{name} of {unit.label} is stored as {stored[name].dtype} of shape {stored[name].shape}, not as "
                    f"float64 scores of its {len(inputs)} samples"
                )
        if MAPS in stored:
            try:
                checked_maps({MAPS: stored[MAPS]}, inputs.shape)
            except MethodError as error:
                raise IntegrityError(f"the stored maps of {unit.label} cannot be scored: {error.reason}") from error

    def _identity(self, unit: Unit) -> str:
        """Hash of all that may change what the network answers: its files, how it is built, and where it runs."""
        model = self.model(unit.model)
        description, _ = self.source.describe(model)
        artefacts = self.source.artefacts(model, self.study(unit.study).samples)
        return content_id([artefacts, description.as_meta(), self.device])


def _within(scores: np.ndarray, bounds: tuple[float, float]) -> bool:
    """Whether all scores that are defined are finite and possible, up to rounding."""
    import numpy as np

    defined = scores[~np.isnan(scores)]
    possible = (defined >= bounds[0] - _ROUNDING) & (defined <= bounds[1] + _ROUNDING)
    return bool((np.isfinite(defined) & possible).all())


def _agree(stored: np.ndarray, again: np.ndarray) -> bool:
    import numpy as np

    largest = float(np.nanmax(np.abs(again), initial=0.0))
    return bool(np.allclose(stored, again, rtol=0.0, atol=_SCORES_ROUNDING * largest, equal_nan=True))


class _ExplainSession:
    """All that is asked of a method in one unit."""

    def __init__(
        self, track: AttributionTrack, unit: Unit, method: MethodClient, samples: SampleSet, network: BuiltNetwork
    ) -> None:
        self._track = track
        self._network = network
        self._unit = unit
        self._method = method
        self._samples = samples

    def begin(self) -> None:
        """Give the method's process the network, unless it has it already (and again after a restart)."""
        state = f"{self._unit.model}/{self._track.study(self._unit.study).samples}"
        if self._method.state == state:
            return
        description, _ = self._track.source.describe(self._track.model(self._unit.model))
        # The weights at hand, also where there is no file of them: both processes must hold the same network.
        arrays = {f"network/{name}": array for name, array in weights_of(self._network.network).items()}
        if self._samples.background is not None:
            arrays["background"] = self._samples.background
        self._method.call("fit", arrays, seed=self._seed("fit"), meta={"network": description.as_meta()})
        self._method.state = state

    def explain(
        self, inputs: np.ndarray, targets: np.ndarray, network: nn.Module | None = None, again: bool = False
    ) -> np.ndarray:
        """Maps (n, 1 or c, *spatial) float32. Seeds come from what is asked, so that order and restarts change nothing."""
        import numpy as np

        weights = {} if network is None else {f"network/{name}": array for name, array in weights_of(network).items()}
        at_once, parts = self._track.benchmark.explained_at_once, []
        for start in range(0, len(inputs), at_once):
            given = {"inputs": inputs[start : start + at_once], "targets": targets[start : start + at_once]}
            seed = self._seed("again" if again else "explain", *map(array_id, given.values()))
            answer = self._method.call("explain", {**given, **weights}, seed=seed)
            parts.append(checked_maps(answer, given["inputs"].shape))
        if len({part.shape[1] for part in parts}) > 1:
            raise MethodError("invalid", "some of its maps have one channel and others several")
        return np.concatenate(parts)

    def as_tensors(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        """`explain` as metrics call it."""
        import torch

        return torch.from_numpy(self.explain(inputs.cpu().numpy(), targets.cpu().numpy(), model))

    def check_repeatable(self, maps: np.ndarray) -> None:
        """Unless the method says that it is stochastic, another seed must not change its maps."""
        import numpy as np

        if self._track.method.stochastic:
            return
        some = slice(0, self._track.benchmark.explained_at_once)
        again = self.explain(self._samples.inputs[some], self._samples.targets[some], again=True)
        if not np.allclose(again, maps[some], rtol=0.0, atol=_ROUNDING * float(np.abs(maps[some]).max())):
            raise MethodError(
                "invalid",
                "it gave different maps for the same inputs under another seed; declare stochastic=True if that is meant",
            )

    def _seed(self, *what: str) -> int:
        return seed_of([self._unit.seed, self._unit.model, *what])
