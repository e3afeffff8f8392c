"""What to say of a run's confidences and of logits that are allowed and yet hardly what was meant, beside ties (`picture`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.metrics.detection import failure_auroc
from harness.spec.run import Unit
from harness.tracks.base import Answers

if TYPE_CHECKING:
    from harness.tracks.confidence.track import ConfidenceTrack

_WELL_BELOW = 0.4
"""A mean failure AUROC below this is worth a sentence, where chance does not explain it."""
_SIGMAS = 3.0
_NEARLY_ONE = 0.05
"""How far from 1 rows of logits sum up, at most, that are worth a sentence."""


def upside_down(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Iterator[str]:
    """That failures have more confidence than successes: the mean failure AUROC over units is well below one half.

    Chance: the variance of an AUROC of m failures and n successes under the null hypothesis, (m + n + 1) / (12 m n).
    """
    found, variances = [], []
    for unit, outputs in answers.items():
        judged = track.judge(unit, outputs)
        failures = int((judged.residual > 0).sum())
        successes = len(judged.residual) - failures
        if failures and successes:
            found.append(failure_auroc(judged.confidence, (judged.residual > 0).astype(float)))
            variances.append((failures + successes + 1) / (12 * failures * successes))
    if not found:
        return
    mean, error = sum(found) / len(found), sum(variances) ** 0.5 / len(found)
    if mean < min(_WELL_BELOW, 0.5 - _SIGMAS * error):
        yield (
            f"the score looks upside down: its failure AUROC is {100 * mean:.1f} % on average, and 50 % would be chance. "
            "Failures have more confidence than successes here; higher must mean more confident, so return the negative "
            "if yours means the opposite."
        )


def probabilities_as_logits(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Iterator[str]:
    """That rows of what are called logits sum to about one, as rounded probabilities do."""
    import numpy as np

    for unit in answers:
        for _, logits in track.given(unit, only=["logits"]):
            if np.abs(logits.sum(axis=1, dtype=np.float64) - 1).max() <= _NEARLY_ONE:
                yield (
                    f"all rows of the logits of {unit.model} sum to about 1, as probabilities do; if they are (rounded) "
                    'probabilities, divide each row by its sum and say holds = "probabilities".'
                )
                return


def different_heads(track: ConfidenceTrack, answers: Mapping[Unit, Answers]) -> Iterator[str]:
    """That the numbers are means over networks that were listed with different heads: several scores in one row."""
    networks: dict[str, dict[str, str | None]] = {}
    for unit in answers:
        networks.setdefault(unit.study, {})[unit.model] = track.model(unit.model).head
    mixed = next((heads for heads in networks.values() if len(set(heads.values())) > 1), None)
    if mixed is not None:
        yield (
            f"every number is the mean over {len(mixed)} networks, of which some differ in their head: {', '.join(mixed)}. "
            'To score those of one head alone, write a method that declares it, as in @confidence_score(version="1.0", '
            f'head="{min(filter(None, mixed.values()))}").'
        )
