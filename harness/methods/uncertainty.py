"""How unsure a committee is: scores of positions, higher = query first.

All take `probabilities` (members, classes, *positions), any floating tensor, and give (*positions) float64 on its
device; p_m are the probabilities of member m, p is their mean over members. Logarithms are natural, 0 ln 0 = 0.

Probabilities may be a memory-mapped file that is larger than the memory: they are read in slabs of the first axis of
positions, and each position is computed by itself, so that the size of a slab changes no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_ENTRIES = 1 << 22
"""Probabilities of one member that are held at once."""


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean prediction, H(p), in [0, ln classes] (Shannon 1948)."""
    return _by_slab(lambda slab: _entropy(_mean(slab)), probabilities)


def expected_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the members' predictions, in [0, ln classes]: what no further data would settle."""
    return _by_slab(_expected_entropy, probabilities)


def mutual_information(probabilities: Tensor) -> Tensor:
    """H(p) - mean of H(p_m), in [0, ln members]: how far the members disagree (BALD, Houlsby et al. 2011)."""
    # Never negative by Jensen's inequality, but for rounding.
    return _by_slab(lambda slab: (_entropy(_mean(slab)) - _expected_entropy(slab)).clamp_min_(0), probabilities)


def variation_ratio(probabilities: Tensor) -> Tensor:
    """1 - largest mean probability, in [0, 1 - 1 / classes] (Freeman 1965)."""
    return _by_slab(lambda slab: 1 - _mean(slab).amax(dim=0), probabilities)


def margin(probabilities: Tensor) -> Tensor:
    """Second largest mean probability minus the largest, in [-1, 0] (Scheffer et al., IDA 2001)."""

    def score(slab: Tensor) -> Tensor:
        top: Tensor = _mean(slab).topk(2, dim=0).values
        return top[1] - top[0]

    return _by_slab(score, probabilities)


def _by_slab(score: Callable[[Tensor], Tensor], probabilities: Tensor) -> Tensor:
    import torch

    if probabilities.ndim < 3:
        raise ValueError(f"probabilities are (members, classes, *positions), got shape {tuple(probabilities.shape)}")
    _, classes, length, *rest = probabilities.shape
    scores = torch.empty((length, *rest), dtype=torch.float64, device=probabilities.device)
    step = max(1, _ENTRIES // max(1, classes * scores[:1].numel()))
    for start in range(0, length, step):
        scores[start : start + step] = score(probabilities[:, :, start : start + step])
    return scores


def _mean(slab: Tensor) -> Tensor:
    """(classes, *positions) float64, member by member."""
    total = slab[0].double()
    for member in slab[1:]:
        total = total + member
    return total / len(slab)


def _expected_entropy(slab: Tensor) -> Tensor:
    total = _entropy(slab[0].double())
    for member in slab[1:]:
        total += _entropy(member.double())
    return total / len(slab)


def _entropy(probabilities: Tensor) -> Tensor:
    """Of (classes, *positions), over the classes, which are summed one by one: the same sum for any layout."""
    import torch

    terms = torch.special.entr(probabilities)
    total: Tensor = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
