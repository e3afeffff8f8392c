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
_SETS = 8
"""Sets of samples whose labels and predictions are kept."""
_ROWS = 1 << 16
"""Samples whose members are looked at together."""


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
        self._classifier: Classifier = classifier
        models: dict[str, Model] = {model.id: model for model in protocol.of(ConfidenceBenchmark).source.models}
        # Small beside the outputs that they follow from, which need not be read again for them.
        self._own_labels = lru_cache(maxsize=_SETS)(lambda model, name: source.samples(models[model], name).labels)
        self._own_predictions = lru_cache(maxsize=_SETS)(
            lambda model, name: predictions(source.samples(models[model], name), classifier)
        )

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
        return self._own_labels(model.id, name)

    def predicted(self, model: Model, name: str) -> np.ndarray:
        """Predicted class (n,) by the classifier that the method speaks about."""
        if self._pinned is not None:
            return self._pinned[PINNED.format(model=model.id, set=name, classifier=self._classifier)]
        return self._own_predictions(model.id, name)

    @property
    def pinned(self) -> bool:
        """Whether the benchmark pins them."""
        return self._pinned is not None

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
    if classifier == "mc-mean" and ("mc_probabilities" in arrays or "mc_logits" in arrays):
        name = "mc_probabilities" if "mc_probabilities" in arrays else "mc_logits"
        starts = range(0, arrays[name].shape[1], _ROWS)  # all in float64 would be many times what is stored
        means = (_mean_of_members(name, arrays[name][:, start : start + _ROWS]) for start in starts)
        return np.concatenate([np.zeros(0, dtype=np.intp), *(mean.argmax(axis=1) for mean in means)])
    return np.asarray(arrays["logits" if "logits" in arrays else "probabilities"].argmax(axis=1))


def _mean_of_members(name: str, members: np.ndarray) -> np.ndarray:
    """Mean probabilities (n, classes) of members (m, n, classes)."""
    import numpy as np

    if name == "mc_probabilities":
        return np.asarray(members.mean(axis=0, dtype=np.float64))
    total = np.zeros(members.shape[1:])
    for member in members:
        exponentials = np.exp(member.astype(np.float64) - member.max(axis=1, keepdims=True))
        total += exponentials / exponentials.sum(axis=1, keepdims=True)
    return total / len(members)
