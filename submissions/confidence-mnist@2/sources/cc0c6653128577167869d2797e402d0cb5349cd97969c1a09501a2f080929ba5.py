"""Scores of Monte-Carlo dropout: confidence that the mean over the members is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score
from harness.methods.outputs import NotOfferedError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_msr(outputs: Outputs) -> Tensor:
    """Largest mean probability over the members."""
    return outputs.mc_probabilities.mean(dim=0).amax(dim=1)


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_mls(outputs: Outputs) -> Tensor:
    """Largest mean logit over the members."""
    return outputs.mc_logits.mean(dim=0).amax(dim=1)


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_pe(outputs: Outputs) -> Tensor:
    """Negative entropy of the mean probabilities: total uncertainty."""
    import torch

    entropy: Tensor = torch.special.entr(outputs.mc_probabilities.mean(dim=0)).sum(dim=1)
    return -entropy


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_ee(outputs: Outputs) -> Tensor:
    """Negative mean entropy of the members: the part of uncertainty that lies in the data."""
    import torch

    expected: Tensor = torch.special.entr(outputs.mc_probabilities).sum(dim=2).mean(dim=0)
    return -expected


@confidence_score(version="1.0", citation="Houlsby et al. 2011; Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_mi(outputs: Outputs) -> Tensor:
    """Negative mutual information of class and weights: how far the members disagree."""
    import torch

    members = _several(outputs)
    expected: Tensor = torch.special.entr(members).sum(dim=2).mean(dim=0)
    total: Tensor = torch.special.entr(members.mean(dim=0)).sum(dim=1)
    return expected - total


@confidence_score(version="1.0", citation="Gal & Ghahramani, ICML 2016", classifier="mc-mean")
def mcd_variance(outputs: Outputs) -> Tensor:
    """Negative standard deviation of the probabilities over the members, mean over classes."""
    return -_several(outputs).std(dim=0, correction=0).mean(dim=1)


def _several(outputs: Outputs) -> Tensor:
    """Probabilities of at least two members: one alone cannot disagree."""
    if len(outputs.mc_probabilities) < 2:
        raise NotOfferedError("how far dropout members disagree needs two of them, and there is one")
    return outputs.mc_probabilities
