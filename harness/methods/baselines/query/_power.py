"""Noise on the logarithm of scores: batches drawn in proportion to a power of the score, instead of its top."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import Adjust


def power(beta: float, rng: np.random.Generator) -> Adjust:
    """ln s + Gumbel(0, 1 / beta): the best k are k draws without replacement, each in proportion to s ** beta.

    Kirsch et al., TMLR 2023. A score of zero stays behind all others: its logarithm is -inf.
    """

    def adjust(scores: np.ndarray) -> np.ndarray:
        import numpy as np

        with np.errstate(divide="ignore"):
            noisy: np.ndarray = np.log(np.maximum(scores, 0.0)) + rng.gumbel(scale=1 / beta, size=scores.shape)
        return noisy

    return adjust
