"""What states how far to trust a classifier, trained beside it."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

Head = Literal["confidnet", "devries", "deep-gamblers"]
HEADS: tuple[Head, ...] = get_args(Head)
_HIDDEN = 400


def build_head(head: Head | None, features: int) -> nn.Module | None:
    """From features (n, f) to the logit (n, 1) of a confidence.

    ConfidNet (Corbière et al. 2019) has four hidden layers; DeVries & Taylor (2018) one linear output. Deep Gamblers
    (Liu et al. 2019) has none of its own: it is one more class of the classifier, the reservation.
    """
    if head == "devries":
        return nn.Linear(features, 1)
    if head != "confidnet":
        return None
    layers: list[nn.Module] = []
    for before in (features, _HIDDEN, _HIDDEN, _HIDDEN):
        layers += [nn.Linear(before, _HIDDEN), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, 1))
