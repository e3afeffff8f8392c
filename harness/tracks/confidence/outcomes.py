"""Which samples a model fails on: the truth that confidences are held against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.spec.benchmark import ConfidenceBenchmark, Study
from harness.spec.grids import Model
from harness.storage import read_arrays
from harness.tracks.confidence.model_outputs import NO_CLASS

if TYPE_CHECKING:
    import numpy as np

    from harness.data.catalog import LoadedBenchmark
    from harness.spec.method import Classifier
    from harness.tracks.confidence.model_outputs import ModelOutputs, OutputSource

PINNED = "{model}--{set}--{classifier}"
LABELS = "{set}--labels"


@dataclass(frozen=True)
class StudyOutcomes:
    """The samples of one study on one model, in the order in which confidences are stored.

    residual (n,): 1 for a failure, 0 for a success. keep (n,): whether the study counts the sample.
    stratum (n,): position of its sample set. labels (n,): true class, `NO_CLASS` for one that the model was not trained on.
    """

    residual: np.ndarray
    keep: np.ndarray
    stratum: np.ndarray
    labels: np.ndarray


class Outcomes:
    """Labels and predictions: pinned by the benchmark where it pins them, else from the outputs."""

    def __init__(self, protocol: LoadedBenchmark, source: OutputSource, classifier: Classifier) -> None:
        self._protocol = protocol
        self._source = source
        self._classifier: Classifier = classifier

    def of(self, model: Model, study: Study) -> StudyOutcomes:
        """See StudyOutcomes; the filters are those of the study's kind."""
        import numpy as np

        labels = [self.labels(model, name) for name in study.sets]
        wrong = self.predicted(model, study.samples) != labels[0]
        residual, keep = [wrong.astype(np.float64)], [np.ones(len(wrong), dtype=bool)]
        if study.unknown is not None:
            keep = [~wrong, np.ones(len(labels[1]), dtype=bool)]
            residual.append(np.ones(len(labels[1])))
        stratum = np.repeat(np.arange(len(labels)), [len(each) for each in labels])
        if study.kind == "open-set":  # samples of classes that the model was not trained on are failures
            keep = [~wrong | (labels[0] == NO_CLASS)]
        return StudyOutcomes(np.concatenate(residual), np.concatenate(keep), stratum, np.concatenate(labels))

    def labels(self, model: Model, name: str) -> np.ndarray:
        if self._pinned is not None:
            return self._pinned[LABELS.format(set=name)]
        return self._source.samples(model, name).labels

    def predicted(self, model: Model, name: str) -> np.ndarray:
        """Predicted class (n,) by the classifier that the method speaks about."""
        if self._pinned is not None:
            return self._pinned[PINNED.format(model=model.id, set=name, classifier=self._classifier)]
        return predictions(self._source.samples(model, name), self._classifier)

    @cached_property
    def _pinned(self) -> dict[str, np.ndarray] | None:
        artefact = self._protocol.of(ConfidenceBenchmark).outcomes
        return None if artefact is None else _pinned_arrays(*self._protocol.verified(artefact))


@lru_cache(maxsize=1)
def _pinned_arrays(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """A run and the rows beside it rest on the same file, which is read once. Its hash was verified by who asks."""
    return dict(read_arrays(path))


def predictions(samples: ModelOutputs, classifier: Classifier) -> np.ndarray:
    """Class (n,) with the highest probability: of the network, or of the mean over its MC members.

    Without stored members the network's own prediction stands in for their mean. Stored predictions are what they are.
    """
    import numpy as np

    arrays = samples.arrays
    if "predictions" in arrays:
        return arrays["predictions"]
    if classifier == "mc-mean" and "mc_probabilities" in arrays:
        return np.asarray(arrays["mc_probabilities"].mean(axis=0, dtype=np.float64).argmax(axis=1))
    if classifier == "mc-mean" and "mc_logits" in arrays:
        total = np.zeros(arrays["mc_logits"].shape[1:])
        for member in arrays["mc_logits"]:  # one at a time: all in float64 would be many times what is stored
            exponentials = np.exp(member.astype(np.float64) - member.max(axis=1, keepdims=True))
            total += exponentials / exponentials.sum(axis=1, keepdims=True)
        return np.asarray((total / len(arrays["mc_logits"])).argmax(axis=1))
    return np.asarray(arrays["logits" if "logits" in arrays else "probabilities"].argmax(axis=1))
