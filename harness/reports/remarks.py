"""What a user should know of a run beside its scores: answers that are allowed, and yet hardly what was meant."""

from __future__ import annotations

from harness.execution.run_result import RunResult

_LARGEST_TIE = 0.5  # share of samples with one and the same confidence
_FEW_VALUES, _MANY_SAMPLES = 20, 100


def remarks(result: RunResult) -> tuple[str, ...]:
    """Sentences, none for most runs. Raises IntegrityError for stored answers that were changed."""
    return _ties(result) if result.document.spec.task == "confidence" else ()


def _ties(result: RunResult) -> tuple[str, ...]:
    """Samples of equal confidence are not ranked among each other: metrics average over their orders."""
    import numpy as np

    outputs = result.outputs()
    found = []
    for unit in (each for each in result.document.units if each.unit in outputs):
        confidence = outputs[unit.unit]["confidence"]
        _, counts = np.unique(confidence, return_counts=True)
        share, few = counts.max() / len(confidence), len(counts) < _FEW_VALUES and len(confidence) >= _MANY_SAMPLES
        if len(confidence) > 1 and (share > _LARGEST_TIE or few):
            what = f"{len(counts):,} different values for {len(confidence):,} samples, the most frequent for"
            found.append((share, f"{unit.study} · {unit.model}: {what} {100 * share:.0f} %"))
    if not found:
        return ()
    worst = max(found)[1]
    return (
        f"in {len(found)} of {len(outputs)} units the confidence is tied almost everywhere ({worst}); samples with equal "
        "confidence are not told apart. Return finer values, if that is not meant.",
    )
