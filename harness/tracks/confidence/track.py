"""The confidence track: a score's answers on each study of each trained model, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.methods.answers import checked_confidence, stored_confidence
from harness.methods.client import MethodClient, MethodError
from harness.metrics.registry import METRICS
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError, unknown
from harness.spec.grids import GridModel, GridSource, Model
from harness.spec.method import ConfidenceMethod
from harness.spec.released import ReleasedSource
from harness.spec.run import Unit
from harness.spec.sources import ResultsSource, TableSource
from harness.storage import IntegrityError, seed_of
from harness.tracks.base import (
    Answers,
    Measurement,
    PlannedUnit,
    Scope,
    Track,
    Workload,
    Workspace,
    check_unchanged,
    spread,
)
from harness.tracks.confidence.choice import chosen_models, configurations
from harness.tracks.confidence.model_outputs import ModelOutputs, OutputSource
from harness.tracks.confidence.outcomes import Outcomes, predictions
from harness.tracks.confidence.scoring import FAILURE_RATE, JudgedConfidence, confidence_scores
from harness.tracks.confidence.session import PARTS, ScoreSession, StreamRequest, check_any
from harness.tracks.confidence.sources import open_source
from harness.tracks.costs import PAIR

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.costs import Estimate
    from harness.tracks.views import Shown, View

_LEAST_AGREEMENT = 0.99
_TIMES_HELD = 4.0
"""How often the arrays of a network are in memory, in both processes: those of the network before it and its own as read,
shuffled, and sent. Measured 2.5 times for one network: 0.94 GiB with 50,000 rows of 1,000 logits (0.19 GiB), 1.27 GiB with
100,000 (0.37 GiB), of which an idle pair has 0.37."""


class ConfidenceTrack(Track):
    """See `harness.tracks.base.Track`. A unit is a study on a trained model."""

    benchmark: ConfidenceBenchmark
    method: ConfidenceMethod
    learns_from: frozenset[str] | None = None
    """The parts of a reference that the method asked for when it was rehearsed; None before."""

    @cached_property
    def source(self) -> OutputSource:
        return open_source(self.protocol, self.device, members=self.wants_members)

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The models that the method is run on: those with its head, else the default family.

        Released networks without dropout are left out for methods that look at its members.
        """
        every: tuple[Model, ...] = self.benchmark.source.models
        if self.wants_members:
            every = tuple(model for model in every if not isinstance(model, GridModel) or model.dropout)
            if not every:
                raise UsageError(
                    f"{self.method.name} looks at members of Monte-Carlo dropout, but no network of {self.benchmark.name} "
                    "was trained with dropout."
                )
        if self.method.head is not None:
            chosen = tuple(model for model in every if model.head == self.method.head)
            if not chosen:
                heads = sorted({model.head for model in every if model.head}) or ["none"]
                raise UsageError(
                    f"{self.method.name} needs models with the head {self.method.head!r}; "
                    f"{self.benchmark.name} has: {', '.join(heads)}."
                )
            return chosen
        return tuple(model for model in every if self.benchmark.runs_by_default(model))

    @property
    def wants_members(self) -> bool:
        return self.method.classifier == "mc-mean" or "members" in self.method.needs

    def metric_versions(self) -> dict[str, str]:
        for name in self.benchmark.metrics:
            _check_metric(name, self.protocol)
        return {name: METRICS[name].version for name in self.benchmark.metrics}

    def planned(self) -> Iterator[PlannedUnit]:
        for model in self.models:
            artefacts = self.source.artefacts(model)
            for study in self.benchmark.studies_of(model):
                yield PlannedUnit(study.id, model.id, model.seed, artefacts)

    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        import numpy as np

        model, study = self.model(unit.model), self.study(unit.study)
        check_unchanged(unit, self.source.artefacts(model))
        if self.method.oracle:
            return {"confidence": stored_confidence(-self.outcomes.of(model, study).residual[self.rows(unit)])}
        answers = self._answers(unit, model, method)
        confidence = np.concatenate([answers[name] for name in study.sets])
        confidence = checked_confidence({"confidence": confidence}, len(confidence), varied=False)
        if len(confidence) > 1 and confidence.min() == confidence.max():
            same = [name for name, array in self.given(unit) if (array.min(axis=0) == array.max(axis=0)).all()]
            if same:
                raise MethodError(
                    "invalid", f"all {len(confidence)} samples are equal in the model's {', '.join(same)}"
                )
        return {"confidence": stored_confidence(checked_confidence({"confidence": confidence}, len(confidence)))}

    def _answers(self, unit: Unit, model: Model, method: MethodClient) -> Mapping[str, np.ndarray]:
        """Set -> confidences, of all that the method is asked about a network: asked once, for all studies together."""

        def sets() -> dict[str, ModelOutputs]:
            names = dict.fromkeys(name for study in self.benchmark.studies_of(model) for name in study.sets)
            return {name: self._samples(model, name, unit.limit) for name in names}

        order = seed_of([self.shuffle, unit.method_hash, model.id, "order"])
        studies = [*self.benchmark.studies_of(model)]
        before = studies[: [study.id for study in studies].index(unit.study)]
        own = {*self.study(unit.study).sets}.difference(*(study.sets for study in before))
        request = StreamRequest(sets, order, self.tolerance("confidence").relative, own)
        return self._session.answers(unit, model, method, request)

    @cached_property
    def _session(self) -> ScoreSession:
        return ScoreSession(self.source, self.method.needs, self._parts)

    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        """Every confidence is stored, and every score follows from them."""
        names = [name for name in (FAILURE_RATE, *self.benchmark.metrics) if metrics is None or name in metrics]
        return Measurement(confidence_scores(names, self.judge(unit, outputs), self.benchmark.bootstrap, unit.study))

    def scopes(self, measured: Mapping[Unit, Measurement], inapplicable: Collection[Unit] = ()) -> Iterator[Scope]:
        """Answers on configurations that were not chosen, and those by which was chosen, are left out, as are studies
        that no network of the method is asked, or to which the method does not apply at all."""
        counting = chosen_models(self.benchmark, self.models, measured)
        models = {study: {model.id for model in chosen} for study, chosen in counting.items()}
        left_out = {unit.study for unit in inapplicable} - {unit.study for unit in measured} if measured else set()
        for name, studies in self.groups().items():
            if all(study in left_out or not self._asked[study] for study in studies):
                continue
            units = tuple(unit for unit in measured if unit.study in studies and unit.model in models[unit.study])
            planned = sum(self._planned(study, counting[study]) for study in studies)
            yield Scope(name, (FAILURE_RATE, *self.benchmark.metrics), units, planned, self.part_of(name))

    def _planned(self, study: str, chosen: tuple[Model, ...]) -> int:
        """How many models count in a study; without a choice, as many as a configuration has."""
        return max(1, len(chosen or next(iter(configurations(self._asked[study]).values()), ())))

    @cached_property
    def _asked(self) -> dict[str, list[Model]]:
        """Study -> the models of the method that are asked it."""
        asked: dict[str, list[Model]] = {study.id: [] for study in self.benchmark.studies}
        for model in self.models:
            for study in self.benchmark.studies_of(model):
                asked[study.id].append(model)
        return asked

    def unasked(self) -> str:
        """By training set: all studies of one are asked of the same networks."""
        source, asked = self.benchmark.source, {getattr(model, "experiment", None) for model in self.models}
        names = (
            [each.id for each in source.experiments if each.id not in asked] if isinstance(source, GridSource) else []
        )
        if not names:
            return ""
        lacking = f"the head {self.method.head!r}" if self.method.head else "what it looks at"
        return f"{self.method.name} is not asked about the networks of {', '.join(names)}, none of which has {lacking}"

    def rehearse(
        self, units: Sequence[Unit], method: Callable[[], AbstractContextManager[MethodClient]]
    ) -> dict[Unit, str]:
        """Tried once for each set of arrays and of reference parts that models offer."""
        from harness.methods.conformance import rehearse_confidence_score

        offers = {name: self._offer(self.model(name)) for name in dict.fromkeys(unit.model for unit in units)}
        lacking = [each for each in dict.fromkeys(offers.values()) if each != (None, PARTS)]
        if self.method.oracle or not (lacking or self.source.absent()):
            return {}
        with method() as client:
            found = {
                each: rehearse_confidence_score(client, *each, self.source.absent())
                for each in dict.fromkeys(offers.values())
            }
        self.learns_from = frozenset().union(*(parts for _, parts in found.values()))
        return {unit: found[offers[unit.model]][0] for unit in units if found[offers[unit.model]][0]}

    def _offer(self, model: Model) -> tuple[frozenset[str] | None, frozenset[str]]:
        """What methods are given of a model, and the parts of its reference."""
        return self.source.offers(model), frozenset(self._parts(model))

    def _parts(self, model: Model) -> dict[str, str]:
        """Part of the model's reference -> name of its set."""
        reference = self.benchmark.reference_of(model)
        parts = {"train": reference.train, "validation": reference.validation}
        return {part: name for part, name in parts.items() if name is not None}

    def sets_of(self, model: Model) -> set[str]:
        """The sets that the method is asked about, and, as far as it is known to learn, those that it learns from."""
        learnt = [
            name for part, name in self._parts(model).items() if self.learns_from is None or part in self.learns_from
        ]
        return {name for study in self.benchmark.studies_of(model) for name in study.sets}.union(learnt)

    def judge(self, unit: Unit, outputs: Answers) -> JudgedConfidence:
        """Stored confidences beside the outcomes. Raises IntegrityError if they do not fit together."""
        outcomes, rows = self.outcomes.of(self.model(unit.model), self.study(unit.study)), self.rows(unit)
        try:
            confidence = checked_confidence(outputs, len(rows), varied=False)
        except MethodError as error:
            raise IntegrityError(f"the stored answers of {unit.label} cannot be scored: {error.reason}") from error
        keep = outcomes.keep[rows]
        return JudgedConfidence(
            confidence[keep],
            outcomes.residual[rows][keep],
            outcomes.labels[rows][keep],
            keep,
            outcomes.stratum[rows],
        )

    def problems(self, unit: Unit, submitted: Answers) -> Iterator[str]:
        stored, wanted = submitted["confidence"].dtype, stored_confidence(submitted["confidence"]).dtype
        if stored != wanted:
            yield f"the confidences of {unit.label} are stored as {stored}; a run stores them as {wanted}"

    def slow_imports(self) -> tuple[str, ...]:
        return ("scipy.sparse",)

    def warm_up(self) -> None:
        self.source.artefacts(self.models[0])
        _ = self.outcomes.pinned

    def check_own_files(self) -> None:
        if isinstance(self.benchmark.source, TableSource | ResultsSource):
            for model in self.models:
                for name in self.sets_of(model):
                    self._samples(model, name, None)
                for study in self.benchmark.studies_of(model):
                    self.outcomes.of(model, study)  # kept, so that pages need not read outputs again
            self.source.release()  # units are run in other processes, which read them for themselves

    def notes(self, answers: Mapping[Unit, Answers]) -> Iterator[str]:
        from harness.tracks.confidence.picture import tied_answers
        from harness.tracks.confidence.remarks import different_heads, probabilities_as_logits, upside_down

        yield from different_heads(self, answers)
        yield from upside_down(self, answers)
        yield from probabilities_as_logits(self, answers)
        yield from tied_answers(self, answers)
        self.source.release()

    def given(self, unit: Unit, only: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """What the model said of the unit's samples, one row for each, array by array; nothing that is yet to compute.

        only: the arrays that are wanted.
        """
        import numpy as np

        model, study = self.model(unit.model), self.study(unit.study)
        if not all(self.source.ready(model, name) for name in study.sets):
            return
        sets = [self._samples(model, name, unit.limit).arrays for name in study.sets]
        for name in sets[0] if only is None else [name for name in sets[0] if name in only]:
            axis = 1 if name.startswith("mc_") else 0
            if name != "inputs" and all(name in each for each in sets):
                parts = [each[name] for each in sets]
                yield name, np.moveaxis(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis), axis, 0)

    def workload(self, units: Sequence[Unit]) -> Workload:
        """Uncomputed are sample sets that must be run through a model before units can start."""
        uncomputed = sum(not self.source.ready(model, name) for model in self.models for name in self.sets_of(model))
        return Workload(uncomputed=uncomputed, absent=self.source.missing(self.models))

    def views(self, shown: Shown) -> Iterator[View]:
        from harness.tracks.confidence.picture import confidence_views

        return confidence_views(self, shown)

    def estimate(self, units: Sequence[Unit]) -> Estimate | None:
        from harness.tracks.confidence.costs import inference_estimate

        source = self.benchmark.source
        return inference_estimate(self, source, units) if isinstance(source, ReleasedSource) else None

    def memory(self, unit: Unit) -> float | None:
        held = self._held[unit.model]
        return None if held is None else PAIR + _TIMES_HELD * held / 2**30

    @cached_property
    def _held(self) -> dict[str, int | None]:
        """Model -> bytes of its arrays, where that is known."""
        return {model.id: self.source.held(model) for model in self.models}

    @cached_property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.protocol, self.source, self.method.classifier)

    def model(self, name: str) -> Model:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Model]:
        return {model.id: model for model in self.benchmark.source.models}

    def _samples(self, model: Model, name: str, limit: int | None) -> ModelOutputs:
        """The samples that are asked about."""
        samples = self.source.samples(model, name)
        check_any(samples, f"{model.id}, set {name}")
        self._agree(model, name, samples)
        studies = self.benchmark.studies_of(model)
        if any(name == study.samples and study.kind != "open-set" for study in studies):
            _check_labels(samples, f"{model.id}, set {name}")
        given = ModelOutputs({**samples.arrays, **self._session.inputs(name)}, samples.labels)
        # Without a limit all are given as they are: taking them would double what may be most of the memory.
        return given if limit is None else given.take(spread(len(samples.labels), limit))

    def _agree(self, model: Model, name: str, samples: ModelOutputs) -> None:
        """Pinned predictions must be those of the outputs at hand, up to rounding on other processors."""
        if not self.outcomes.pinned:
            return
        predicted = self.outcomes.predicted(model, name)
        agreement = float((predictions(samples, self.method.classifier) == predicted).mean())
        if agreement < _LEAST_AGREEMENT:
            raise IntegrityError(
                f"{model.id} predicts other classes on {name} than {self.benchmark.name} pins "
                f"({100 * agreement:.1f} % agree): this machine's images or networks differ from the benchmark's."
            )

    def rows(self, unit: Unit) -> np.ndarray:
        """Positions, among all samples of the unit's study, of those the unit asks about."""
        import numpy as np

        model, study = self.model(unit.model), self.study(unit.study)
        sizes = [len(self.outcomes.labels(model, name)) for name in study.sets]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return np.concatenate([start + spread(size, unit.limit) for start, size in zip(starts, sizes, strict=True)])


def _check_metric(name: str, protocol: LoadedBenchmark) -> None:
    """A benchmark may list metrics that are there and that need nothing but what every unit has."""
    usable = [each.id for each in METRICS.values() if not each.required_options]
    if name not in METRICS:
        raise unknown(f"metric in {protocol.path}", name, usable)
    if METRICS[name].required_options:
        needed = ", ".join(METRICS[name].required_options)
        raise UsageError(
            f"{protocol.path}: the metric {name} needs {needed}, which a benchmark cannot give; leave it out."
        )


def _check_labels(samples: ModelOutputs, where: str) -> None:
    """Samples that are scored by their class must be of a class that the model knows."""
    low, high, classes = int(samples.labels.min()), int(samples.labels.max()), samples.classes
    if low < 0 or (classes is not None and high >= classes):
        known = f"numbered 0 to {classes - 1}" if classes else "numbered from 0"
        raise UsageError(
            f"{where}: labels run from {low} to {high}, but the {f'{classes} ' if classes else ''}classes are {known}; "
            "samples of no known class belong into `unknown` of a new-class study."
        )
