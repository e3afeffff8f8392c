"""Scores of networks trained with a reservation class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


@confidence_score(version="1.0", head="deep-gamblers", citation="Liu et al., Deep Gamblers, NeurIPS 2019")
def dg_residual(outputs: Outputs) -> Tensor:
    """One minus the probability of the reservation class."""
    return outputs.head_confidence


@confidence_score(
    version="1.0",
    head="deep-gamblers",
    classifier="mc-mean",
    citation="Liu et al., Deep Gamblers, NeurIPS 2019",
)
def dg_mcd_msr(outputs: Outputs) -> Tensor:
    """Largest mean probability over the dropout members, without the reservation class."""
    return outputs.mc_probabilities.mean(dim=0).amax(dim=1)


@confidence_score(version="1.0", head="deep-gamblers", citation="Liu et al., Deep Gamblers, NeurIPS 2019")
def dg_pe(outputs: Outputs) -> Tensor:
    """Negative entropy over the classes, without the reservation class."""
    return (outputs.probabilities * outputs.log_probabilities).sum(dim=1)
