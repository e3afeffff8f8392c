"""What counts as an answer. Everything a method returns passes through here before it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.methods.client import MethodError

if TYPE_CHECKING:
    import numpy as np


def checked_confidence(answer: Mapping[str, np.ndarray], samples: int, *, varied: bool = True) -> np.ndarray:
    """The confidences (n,) as float32, the precision in which they are stored and scored.

    With `varied`, one and the same confidence for all samples is refused: it ranks nothing. Raises MethodError with status *invalid* and one sentence for anything that cannot be ranked.
    """
    import numpy as np

    if set(answer) != {"confidence"}:
        raise MethodError("invalid", "its answer was malformed")
    confidence = answer["confidence"]
    if confidence.dtype.kind != "f":
        raise MethodError("invalid", f"it returned dtype {confidence.dtype}; confidences are floating-point numbers")
    if confidence.shape != (samples,):
        raise MethodError("invalid", f"it returned shape {confidence.shape}, expected ({samples},)")
    bad = int(np.count_nonzero(~np.isfinite(confidence)))
    if bad:
        raise MethodError("invalid", f"{bad} of {samples} confidences are NaN or infinite")
    with np.errstate(over="ignore"):
        single = confidence.astype(np.float32)
    if not np.isfinite(single).all():
        raise MethodError("invalid", "some confidences are too large for float32 (beyond 3.4e38)")
    if varied and samples > 1 and single.min() == single.max():
        raise MethodError("invalid", f"it gave the same confidence to all {samples} samples")
    return single
