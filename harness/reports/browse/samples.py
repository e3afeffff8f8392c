"""What the failure browser shows of one network: its sample sets, what went wrong in each study, and what scores say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from harness.metrics.registry import METRICS
from harness.spec.errors import UsageError, unknown
from harness.spec.grids import Model
from harness.spec.released import ReleasedSource
from harness.spec.run import Unit
from harness.tracks.base import Answers
from harness.tracks.confidence.outcomes import predictions
from harness.tracks.confidence.scoring import FAILURE_RATE, JudgedConfidence, metric_value
from harness.tracks.confidence.track import ConfidenceTrack

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.benchmark import Study

SUCCESS, FAILURE, LEFT_OUT = 0, 1, 2
"""What a study makes of a sample."""
Role = Literal["training", "source", "shift"]
VECTORS = ("features", "logits", "probabilities")
"""What samples are laid out by: the first that all tested sets have."""


@dataclass(frozen=True)
class ScoreAnswers:
    """A confidence score with its stored answers, and the track that judges them."""

    name: str
    track: ConfidenceTrack
    answers: Mapping[Unit, Answers]

    @property
    def classifier(self) -> str:
        """Whose predictions it speaks about: scores of members of Monte-Carlo dropout have failures of their own."""
        return self.track.method.classifier


@dataclass(frozen=True)
class JudgedStudy:
    """A study on the network; its n samples in the order in which confidences are stored.

    sets, samples (n,): position of the set in `Browsed.sets`, and of the sample in it. outcome: classifier -> (n,), one of
    the constants above. confidence: score -> (n,). judged: score -> what metrics are computed from. metrics: score -> metric
    -> value, NaN where it has no meaning.
    """

    id: str
    group: str
    kind: str
    sets: np.ndarray
    samples: np.ndarray
    outcome: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]
    judged: Mapping[str, JudgedConfidence]
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class BrowsedSet:
    """labels (n,); predicted: classifier -> (n,); ids: names by which samples are known outside, where there are any."""

    name: str
    role: Role
    labels: np.ndarray
    predicted: Mapping[str, np.ndarray]
    ids: Sequence[str] | None


@dataclass(frozen=True)
class TableNames:
    """What a user's table calls its sets, and where the samples of each stand in it, counted from 0: set -> (n,)."""

    sets: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)

    def title(self, name: str) -> str:
        """Of a set, or of the study of its own."""
        return self.sets.get(name, name)

    def numbers(self, name: str, samples: np.ndarray) -> np.ndarray:
        """What samples of a set are called: their rows of the table, else their places in the set."""
        return self.rows[name][samples] if name in self.rows else samples


class Browsed:
    """One network with its scores, the first of which is what the page is about. Raises UsageError for a network that it
    has no answer on. elsewhere: scores left out, which have no answers on these samples of this network. naming:
    what the user's table calls them."""

    def __init__(
        self, scores: Sequence[ScoreAnswers], model: str | None = None, naming: TableNames | None = None
    ) -> None:
        self.naming = naming or TableNames()
        self.track = scores[0].track
        self.model = _chosen(scores[0], model)
        self.limit = next(iter(scores[0].answers)).limit
        here = [score for score in scores if self._units_of(score)]
        self.scores = tuple(here)
        self.elsewhere = tuple(score.name for score in scores if score not in here)
        self.classifiers: dict[str, ConfidenceTrack] = {each.classifier: each.track for each in reversed(here)}

    @cached_property
    def sets(self) -> tuple[BrowsedSet, ...]:
        """The training set, where its outputs are at hand, and those of all studies."""
        roles: dict[str, Role] = {}
        train = self.track.benchmark.reference_of(self.model).train
        if train is not None and self._at_hand(train):
            roles[train] = "training"
        own = {study.samples for study in self._studies if study.kind in ("iid", "new-class", "selection")}
        for study in self._studies:
            roles |= {name: "source" if name in own else "shift" for name in study.sets}
        return tuple(self._set(name, role) for name, role in roles.items())

    @cached_property
    def studies(self) -> tuple[JudgedStudy, ...]:
        """Those that any score has an answer in."""
        return tuple(self._judged(study) for study in self._studies)

    @cached_property
    def vectors(self) -> str | None:
        """What samples are laid out by; None where there are results alone."""
        tested = [each.name for each in self.sets if each.role != "training"]
        offered = [self.track.source.samples(self.model, name).arrays for name in tested]
        return next((name for name in VECTORS if all(name in arrays for arrays in offered)), None)

    def vectors_of(self, name: str, rows: np.ndarray) -> np.ndarray | None:
        """(len(rows), f) float32 of a set, None for training samples of which this is not stored."""
        import numpy as np

        assert self.vectors is not None
        found = self.track.source.samples(self.model, name).arrays.get(self.vectors)
        return None if found is None else np.asarray(found[rows], dtype=np.float32)

    @cached_property
    def _studies(self) -> tuple[Study, ...]:
        answered = {unit.study for score in self.scores for unit in self._units_of(score)}
        return tuple(each for each in self.track.benchmark.studies_of(self.model) if each.id in answered)

    def _at_hand(self, name: str) -> bool:
        """Small networks compute a training set in seconds; that of a large one is not computed for a picture."""
        released = isinstance(self.track.benchmark.source, ReleasedSource)
        return not released or self.track.source.ready(self.model, name)

    def _set(self, name: str, role: Role) -> BrowsedSet:
        ids = self.track.source.sample_ids(name)
        if role == "training":
            samples = self.track.source.samples(self.model, name)
            said = {"logits", "probabilities", "predictions"} & samples.arrays.keys()  # stored features may come alone
            trained = {
                each: predictions(samples, track.method.classifier) for each, track in self.classifiers.items() if said
            }
            return BrowsedSet(name, role, samples.labels, trained, ids)
        tested = {each: track.outcomes.predicted(self.model, name) for each, track in self.classifiers.items()}
        return BrowsedSet(name, role, self.track.outcomes.labels(self.model, name), tested, ids)

    def _judged(self, study: Study) -> JudgedStudy:
        import numpy as np

        sizes = [len(self._by_name[name][1].labels) for name in study.sets]
        places = [np.full(size, self._by_name[name][0]) for name, size in zip(study.sets, sizes, strict=True)]
        outcome, confidence, judged, metrics = {}, {}, {}, {}
        rows = np.arange(0)
        for score, unit in self._answered(study):
            rows, name = score.track.rows(unit), score.name
            judged[name] = score.track.judge(unit, score.answers[unit])
            outcome[score.classifier] = _outcome(judged[name])
            confidence[name] = np.asarray(score.answers[unit]["confidence"])
            metrics[name] = {
                FAILURE_RATE: float(judged[name].residual.mean()) if len(judged[name].residual) else math.nan
            }
            metrics[name] |= {each: metric_value(METRICS[each], judged[name]) for each in self.track.benchmark.metrics}
        sets, samples = np.concatenate(places)[rows], np.concatenate([np.arange(size) for size in sizes])[rows]
        return JudgedStudy(study.id, study.group, study.kind, sets, samples, outcome, confidence, judged, metrics)

    def _answered(self, study: Study) -> Iterator[tuple[ScoreAnswers, Unit]]:
        for score in self.scores:
            yield from ((score, unit) for unit in self._units_of(score) if unit.study == study.id)

    def _units_of(self, score: ScoreAnswers) -> list[Unit]:
        return [unit for unit in score.answers if (unit.model, unit.limit) == (self.model.id, self.limit)]

    @cached_property
    def _by_name(self) -> dict[str, tuple[int, BrowsedSet]]:
        return {each.name: (place, each) for place, each in enumerate(self.sets)}


def _outcome(judged: JudgedConfidence) -> np.ndarray:
    """(n,): a success, a failure, or left out, for each sample of the study."""
    import numpy as np

    codes = np.full(len(judged.keep), LEFT_OUT, dtype=np.uint8)
    codes[judged.keep] = np.where(judged.residual > 0, FAILURE, SUCCESS)
    return codes


def _chosen(score: ScoreAnswers, name: str | None) -> Model:
    """The network of this name, else the first that the score has an answer on."""
    answered = list(dict.fromkeys(unit.model for unit in score.answers))
    if name is not None and name not in answered:
        raise unknown(f"network that {score.name} has an answer on", name, answered)
    if not answered:
        raise UsageError(
            f"{score.name} has no answers to look at: none of its units has scores; `harness show` says why."
        )
    return score.track.model(name or answered[0])
