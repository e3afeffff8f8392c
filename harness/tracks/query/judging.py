"""A campaign's stored outputs beside the truth: performance by loop, and what it is averaged over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.segmentation import accuracy, balanced_accuracy, dice, mean_dice
from harness.spec.query import QueryBenchmark, QueryStudy
from harness.storage import IntegrityError
from harness.tracks.base import Answers
from harness.tracks.query.campaign import EFFORT, EVALUATION, PICKS
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 1 << 22


@dataclass(frozen=True)
class AveragedSamples:
    """What performance averages over samples first: a class, or for accuracy all classes together.

    members (m,): which of the held-out samples count. credit (m, loops) in [0, 1], 0 where it is not defined;
    defined (m, loops).
    """

    members: np.ndarray
    credit: np.ndarray
    defined: np.ndarray


@dataclass(frozen=True)
class JudgedCampaign:
    """One campaign, loop by loop.

    performance (loops,): NaN where undefined, which is a class that occurs in no case. images (loops,): annotated ones.
    foreground (loops,): annotated share of the pool's foreground voxels; None for classification.
    """

    performance: np.ndarray
    blocks: tuple[AveragedSamples, ...]
    samples: int
    images: np.ndarray
    foreground: np.ndarray | None = None

    def replicates(self, weights: np.ndarray) -> np.ndarray:
        """Performance (b, loops) where sample s occurs weights[b, s] times; a class that is in no case is left out."""
        import numpy as np

        values = np.stack([_weighted_means(block, weights) for block in self.blocks])
        defined = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0))


def judge(setting: Setting, benchmark: QueryBenchmark, outputs: Answers, loops: int | None = None) -> JudgedCampaign:
    """Performance and effort of a campaign, from its stored outputs.

    Without `loops`, it may be shorter than the protocol says. Raises IntegrityError for outputs that are no campaign
    of this setting: an array that is missing or of another shape, another budget, labels that differ between loops.
    """
    stored = _stored(setting.study, outputs, EVALUATION + ("counts" if setting.segments else "predictions"))
    if not 2 <= len(stored) <= setting.study.loops or len(stored) != (loops or len(stored)):
        raise _damage(setting.study, f"have {len(stored)} loops, not {loops or setting.study.loops}")
    _check_picks(setting.study, outputs, len(stored))
    images = _stored(setting.study, outputs, EFFORT + "images", (len(stored),))
    if setting.segments:
        return _judged_segmentation(setting.study, stored, images, _foreground(setting.study, outputs, len(stored)))
    return _judged_classes(setting, benchmark, stored, images)


def _judged_segmentation(
    study: QueryStudy, counts: np.ndarray, images: np.ndarray, foreground: np.ndarray
) -> JudgedCampaign:
    import numpy as np

    if counts.ndim != 4 or counts.shape[2] < 2 or counts.shape[3] != 4 or (counts < 0).any():
        raise _damage(study, f"have counts of shape {counts.shape}, not (loops, cases, classes, 4), or negative ones")
    of_class = counts[..., 0] + counts[..., 2]
    if (of_class != of_class[:1]).any():
        raise _damage(study, "say in different loops that the held-out cases have different true labels")
    values = np.moveaxis(dice(counts)[..., 1:], 0, -1)
    defined = ~np.isnan(values)
    everyone = np.arange(counts.shape[1])
    blocks = tuple(
        AveragedSamples(everyone, np.where(defined[:, c], values[:, c], 0.0), defined[:, c])
        for c in range(values.shape[1])
    )
    performance = np.array([mean_dice(each) for each in counts])
    return JudgedCampaign(performance, blocks, counts.shape[1], images, foreground)


def _judged_classes(
    setting: Setting, benchmark: QueryBenchmark, predictions: np.ndarray, images: np.ndarray
) -> JudgedCampaign:
    import numpy as np

    targets = setting.targets()
    if predictions.shape[1:] != targets.shape or predictions.dtype.kind not in "iu":
        raise _damage(setting.study, f"have predictions of shape {predictions.shape}, not (loops, {len(targets)})")
    balanced = benchmark.performance == "balanced-accuracy"
    measure = balanced_accuracy if balanced else accuracy
    groups = [np.flatnonzero(targets == c) for c in np.unique(targets)] if balanced else [np.arange(len(targets))]
    correct = (predictions == targets).T
    blocks = tuple(AveragedSamples(group, correct[group], np.ones_like(correct[group])) for group in groups)
    performance = np.array([measure(each, targets) for each in predictions])
    return JudgedCampaign(performance, blocks, len(targets), images)


def _foreground(study: QueryStudy, outputs: Answers, loops: int) -> np.ndarray:
    """Annotated share (loops,) of the pool's foreground voxels."""
    import numpy as np

    annotated = _stored(study, outputs, EFFORT + "voxels")
    pool = _stored(study, outputs, EFFORT + "pool_voxels", annotated.shape)
    if annotated.ndim != 2 or len(annotated) != loops or (annotated < 0).any() or (annotated > pool).any():
        raise _damage(study, "annotate other voxels than the pool has")
    if (pool[:, 1:].sum(axis=1) == 0).any():
        raise _damage(study, "have a pool without foreground")
    return np.asarray(annotated[:, 1:].sum(axis=1) / pool[:, 1:].sum(axis=1))


def _check_picks(study: QueryStudy, outputs: Answers, loops: int) -> None:
    """A campaign buys what the protocol says, no more and no less."""
    for loop in range(loops):
        bought, budget = len(_stored(study, outputs, f"{PICKS}{loop}")), study.query if loop else study.start
        if bought != budget:
            raise _damage(study, f"query {bought} annotations in loop {loop}, where the protocol says {budget}")


def _stored(study: QueryStudy, outputs: Answers, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    if name not in outputs:
        raise _damage(study, f"lack {name}")
    array = outputs[name]
    if array.ndim == 0 or array.dtype.kind not in "iu" or (shape is not None and array.shape != shape):
        raise _damage(study, f"have {name} as {array.dtype} of shape {array.shape}")
    return array


def _damage(study: QueryStudy, what: str) -> IntegrityError:
    return IntegrityError(f"the stored answers of {study.id} {what}; they are no campaign of this benchmark.")


def _weighted_means(block: AveragedSamples, weights: np.ndarray) -> np.ndarray:
    """Mean credit (b, loops) of a block's members under weights (b, samples); NaN where nobody is drawn."""
    import numpy as np

    credit, defined = block.credit.astype(float), block.defined.astype(float)
    step = max(1, _CHUNK // max(1, len(block.members)))
    parts = []
    for first in range(0, len(weights), step):
        rows = weights[first : first + step, block.members].astype(float)
        with np.errstate(invalid="ignore"):
            parts.append((rows @ credit) / (rows @ defined))
    return np.concatenate(parts)
