"""What counts as an answer. Everything a method returns passes through here before it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.methods.client import MethodError

if TYPE_CHECKING:
    import numpy as np


def checked_confidence(answer: Mapping[str, np.ndarray], samples: int, *, varied: bool = True) -> np.ndarray:
    """The confidences (n,) as they came, in float64 or less: nothing is rounded that the method told apart.

    With `varied`, one and the same confidence for all samples is refused: it ranks nothing. Raises MethodError with
    status *invalid* and one sentence for anything that cannot be ranked.
    """
    import numpy as np

    confidence = confidences_as_given(answer, samples)
    bad = int(np.count_nonzero(~np.isfinite(confidence)))
    if bad:
        raise MethodError("invalid", f"{bad} of {samples} confidences are NaN or infinite")
    kept = _rounded(confidence, "confidences", np.float32 if confidence.dtype.itemsize <= 4 else np.float64)
    if varied and samples > 1 and kept.min() == kept.max():
        raise MethodError("invalid", f"it gave the same confidence to all {samples} samples")
    return kept


def confidences_as_given(answer: Mapping[str, np.ndarray], samples: int) -> np.ndarray:
    """Floating-point numbers (n,), finite or not, of a part of what is asked: the whole is for `checked_confidence`.

    Raises MethodError with status *invalid* for anything else.
    """
    return _floats(answer, "confidence", "confidences", (samples,))


def stored_confidence(confidence: np.ndarray) -> np.ndarray:
    """Checked confidences (n,) of a whole unit as they are stored: the dtype says which of two precisions it is.

    float32 where it keeps every order and every tie, else float64. Rounding never swaps two numbers, so it is enough
    that no two distinct ones become equal.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        single = confidence.astype(np.float32)
    same = np.isfinite(single).all() and len(np.unique(single)) == len(np.unique(confidence))
    return single if same else confidence.astype(np.float64)


def checked_maps(answer: Mapping[str, np.ndarray], inputs: tuple[int, ...]) -> np.ndarray:
    """Attribution maps (n, 1 or c, *spatial) as float32, for inputs of shape (n, c, *spatial).

    Raises MethodError with status *invalid* and one sentence for anything that is no map of these inputs.
    """
    import numpy as np

    maps = _floats(answer, "maps", "maps", inputs, (inputs[0], 1, *inputs[2:]))
    bad = int((~np.isfinite(maps)).reshape(len(maps), -1).any(axis=1).sum())
    if bad:
        raise MethodError("invalid", f"{bad} of {len(maps)} maps hold NaN or infinite values")
    return _single_precision(maps, "values of its maps")


def checked_scores(answer: Mapping[str, np.ndarray], samples: int) -> np.ndarray:
    """Scores (n,) of single maps as float32, the precision in which they are stored and judged; NaN = undefined.

    Raises MethodError with status *invalid* and one sentence for anything else.
    """
    import numpy as np

    scores = _floats(answer, "scores", "scores", (samples,))
    bad = int(np.isinf(scores).sum())
    if bad:
        raise MethodError("invalid", f"{bad} of {samples} scores are infinite; NaN says that a score is undefined")
    return _single_precision(scores, "scores")


def _floats(answer: Mapping[str, np.ndarray], name: str, what: str, *shapes: tuple[int, ...]) -> np.ndarray:
    """The one array of an answer: floating-point numbers of one of the shapes."""
    if set(answer) != {name}:
        raise MethodError("invalid", "its answer was malformed")
    array = answer[name]
    if array.dtype.kind != "f":
        raise MethodError("invalid", f"it returned dtype {array.dtype}; {what} are floating-point numbers")
    if array.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        raise MethodError("invalid", f"it returned shape {array.shape}, expected {expected}")
    return array


def _single_precision(array: np.ndarray, what: str) -> np.ndarray:
    import numpy as np

    return _rounded(array, what, np.float32)


def _rounded(array: np.ndarray, what: str, precision: type[np.floating[Any]]) -> np.ndarray:
    """In a precision in which no number may become infinite."""
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = array.astype(precision)
    if np.isinf(rounded).any():
        largest = np.finfo(precision)
        raise MethodError("invalid", f"some {what} are too large for {largest.dtype} (beyond {largest.max:.1e})")
    return rounded


def check_varied(scores: np.ndarray) -> None:
    """Refuse scores of a whole set of maps that order nothing. Raises MethodError with status *invalid*."""
    import numpy as np

    defined = scores[np.isfinite(scores)]
    if not defined.size:
        raise MethodError("invalid", f"none of {scores.size} scores is defined")
    if scores.size > 1 and defined.min() == defined.max():
        raise MethodError("invalid", f"it gave the same score to all {scores.size} maps")


def check_spread(maps: np.ndarray) -> None:
    """Refuse maps of a whole set that say nothing. Raises MethodError with status *invalid*."""
    flat = maps.reshape(len(maps), -1)
    if not len(flat):
        return
    if not flat.any():
        raise MethodError("invalid", f"all {len(flat)} maps are zero everywhere")
    if (flat.min(axis=1) == flat.max(axis=1)).all():
        raise MethodError("invalid", f"all {len(flat)} maps are constant: they tell no part of an input from another")
    if flat.max() <= 0:
        raise MethodError(
            "invalid",
            f"none of {len(flat)} maps has a positive value; positive = speaks for the target, so check the sign",
        )


class UnusableAnswerError(TypeError):
    """A method answered with something that cannot be used; the sentence says what."""


def as_array(answer: Any) -> np.ndarray:
    """A method's answer as an array of numbers on the CPU. Raises UnusableAnswerError for anything else."""
    import numpy as np
    import torch

    if isinstance(answer, torch.Tensor) and answer.device.type == "meta":
        raise UnusableAnswerError("it returned a tensor on the device 'meta', which holds no numbers")
    try:
        if isinstance(answer, torch.Tensor):
            answer = answer.detach().cpu().resolve_conj().resolve_neg()
            array = np.asarray(answer.float() if answer.dtype == torch.bfloat16 else answer)
        else:
            array = np.asarray(answer)
        numbers = array.dtype.kind in "biufc"
    except (ValueError, TypeError, RuntimeError):  # a ragged list, a sparse tensor, a list of tensors with gradients
        numbers = False
    if not numbers:
        raise UnusableAnswerError(f"it returned {type(answer).__name__}, not a tensor or array of numbers")
    return array


def part(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Arrays whose name begins with `name/`, without it."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def checked_picks(answer: Mapping[str, np.ndarray], budget: int) -> np.ndarray:
    """A query (budget, k) int64, as `Learner.parse` takes it: k = 1 of images, 1 + axes of patches.

    Raises MethodError with status *invalid* and one sentence for anything else.
    """
    import numpy as np

    if set(answer) != {"picks"} or answer["picks"].ndim != 2 or not answer["picks"].shape[1]:
        raise MethodError("invalid", "its answer was malformed")
    picks = answer["picks"]
    if picks.dtype.kind not in "iu":
        raise MethodError("invalid", f"it returned dtype {picks.dtype}; picks are whole numbers")
    if len(picks) != budget:
        raise MethodError("invalid", f"it asked for {len(picks)}, the budget is {budget}")
    return picks.astype(np.int64)
