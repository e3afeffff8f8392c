"""The attribution track: a method's maps of each network's decisions, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.methods.answers import check_spread, checked_maps
from harness.methods.client import MethodClient, MethodError
from harness.metrics.attribution.registry import make_metric
from harness.spec.attribution import AttributionBenchmark, AttributionStudy
from harness.spec.errors import UsageError
from harness.spec.method import AttributionMethod, DeclaredMethod
from harness.spec.run import Unit
from harness.storage import IntegrityError, content_id
from harness.tracks.attribution.conversation import ROUNDING, ExplainSession
from harness.tracks.attribution.sources import SampleSet, built, check_fit
from harness.tracks.attribution.studies import NetworksTrack
from harness.tracks.base import Answers, Measurement, PlannedUnit, Tolerance, Workspace, check_applies, check_unchanged
from harness.tracks.passes import counted_apart, share, together
from harness.tracks.repetition import magnitudes

if TYPE_CHECKING:
    import numpy as np

    from harness.metrics.attribution.base import MapMetric
    from harness.spec.result import Passes
    from harness.tracks.costs import Estimate
    from harness.tracks.views import SampleList, Shown, View

MAPS, SCORES = "maps", "score."
"""Answers of a unit: the maps (n, 1 or c, *spatial) as answered, and `score.<metric>` (n,) for every metric."""

_SCORES_ROUNDING = 1e-3  # of their magnitude, see `AttributionTrack.tolerance`
_FORKED = 0.2  # of the samples of a study


class AttributionTrack(NetworksTrack):
    """See `harness.tracks.base.Track`."""

    benchmark: AttributionBenchmark
    method: AttributionMethod

    def __init__(
        self, protocol: LoadedBenchmark, method: DeclaredMethod, device: str = "cpu", shuffle: int = 0
    ) -> None:
        super().__init__(protocol, method, device, shuffle)
        # Whom and about what was asked last, its maps, and what was passed for them: studies share those of a network.
        self._last: tuple[object, Mapping[str, np.ndarray], Passes | None] | None = None

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
        # Opened and built here first: a mistake in the benchmark's own files is not the method's.
        sets = self._explained_together(unit)
        network = built(self.source, model, self.device)
        for name, each in sets.items():
            check_fit(network, each, f"{model.id} on {name}")
        samples = sets[study.samples]
        if samples.masks is None and (needy := [each.id for each in self.metrics(study) if "masks" in each.needs]):
            raise UsageError(f"study {study.id}: {needy[0]} needs masks, which the set {study.samples} does not have.")
        session = ExplainSession(unit, method, self.benchmark.explained_at_once, self.shuffle)
        # The weights at hand, also where there is no file of them: both processes must hold the same network.
        begin = partial(session.begin, self.source.describe(model)[0], network.network, samples.background)
        asked = (method, unit.model, unit.seed, unit.limit)
        if self._last is None or self._last[0] != asked or study.samples not in self._last[1]:
            begin()
            self._last = (asked, *counted_apart(method, lambda: session.explain_sets(sets)))
        begin()  # what comes now, only this study's metrics ask
        _, maps_of, passes = self._last
        maps, sizes = maps_of[study.samples], {name: len(each.targets) for name, each in sets.items()}
        method.passes = together(method.passes, share(passes, sizes, self._first_asked(unit, sets)))
        if not self.method.reference:
            check_spread(maps)
        explained = Explained(samples, maps, network, session.as_tensors, self._identity(unit))
        scores = score_maps(self.benchmark, self.metrics(study), explained)
        return {MAPS: maps, **{SCORES + name: values for name, values in scores.items()}}

    def _explained_together(self, unit: Unit) -> dict[str, SampleSet]:
        """The unit's set, and those of the same network's other studies that can share a stream with it, in an order that
        is the same for each of them."""
        import numpy as np

        own = self.study(unit.study).samples
        names = [own] if self.method.stochastic else dict.fromkeys(study.samples for study in self._studies_of(unit))
        sets = {name: self.limited(name, unit.limit) for name in names}

        def alike(one: np.ndarray | None, other: np.ndarray | None) -> bool:
            return one is other is None or (one is not None and other is not None and np.array_equal(one, other))

        return {
            name: each
            for name, each in sets.items()
            if each.inputs.shape[1:] == sets[own].inputs.shape[1:] and alike(each.background, sets[own].background)
        }

    def _studies_of(self, unit: Unit) -> list[AttributionStudy]:
        """All studies of the unit's network."""
        return [study for study in self.benchmark.studies if unit.model in study.models]

    def _first_asked(self, unit: Unit, sets: Collection[str]) -> set[str]:
        """Which of these sets the unit's study is the first to ask about."""
        studies = self._studies_of(unit)
        before = studies[: [study.id for study in studies].index(unit.study)]
        return {self.study(unit.study).samples}.intersection(sets) - {study.samples for study in before}

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
        attribution, in which nearly equal ones change places, and robustness takes the worst of several maps: in few
        samples that moves a score by more, and hardly its mean and median over samples, on which ranks rest. Methods that
        declare themselves stochastic decide by draws, so that rounding can change more than the last digits.
        """
        allowed = Tolerance(_SCORES_ROUNDING, "single precision, nearly equal pixels", forks=_FORKED)
        if name == MAPS:
            allowed = Tolerance(ROUNDING, "single precision")
        if self.method.stochastic:
            return replace(allowed, relative=10 * allowed.relative, reason=f"{allowed.reason}, draws")
        return allowed

    def estimate(self, units: Sequence[Unit]) -> Estimate | None:
        from harness.tracks.attribution.costs import maps_estimate

        return maps_estimate(self.benchmark, units) if self.benchmark.source.kind == "arrays" else None

    def memory(self, unit: Unit) -> float | None:
        from harness.tracks.attribution.costs import maps_memory

        return maps_memory(self.benchmark, unit)

    def imports_to_show(self) -> tuple[str, ...]:
        return *super().imports_to_show(), "torch"

    def views(self, shown: Shown) -> Iterator[View]:
        from harness.tracks.attribution.picture import attribution_views

        return attribution_views(self, shown, _maps(shown.answers))

    def listing(self, answers: Mapping[Unit, Answers], kept: Callable[[Unit], Path]) -> SampleList | None:
        from harness.tracks.attribution.listing import attribution_listing

        return attribution_listing(self, answers, _maps(answers))

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


def _maps(answers: Mapping[Unit, Answers]) -> dict[Unit, np.ndarray]:
    """Of the units that have them."""
    return {unit: outputs[MAPS] for unit, outputs in answers.items() if MAPS in outputs}


def _within(scores: np.ndarray, bounds: tuple[float, float]) -> bool:
    """Whether all scores that are defined are finite and possible, up to rounding."""
    import numpy as np

    defined = scores[~np.isnan(scores)]
    possible = (defined >= bounds[0] - ROUNDING) & (defined <= bounds[1] + ROUNDING)
    return bool((np.isfinite(defined) & possible).all())


def _agree(stored: np.ndarray, again: np.ndarray) -> bool:
    import numpy as np

    allowed = _SCORES_ROUNDING * magnitudes(stored, again, again)
    return bool(np.isclose(stored, again, rtol=0.0, atol=allowed, equal_nan=True).all())
