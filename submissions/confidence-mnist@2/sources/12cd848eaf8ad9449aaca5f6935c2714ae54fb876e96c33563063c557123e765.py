"""Scores of networks trained with a reservation class.

Most are scores of any network, declared once more for these: they see the logits of the classes alone. Liu et al. train
the networks; which scores to take of them, and how, is FD-Shifts' reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.baselines.confidence.energy import energy
from harness.methods.baselines.confidence.knn import KNNFDShifts
from harness.methods.baselines.confidence.mahalanobis import MahalanobisFDShifts
from harness.methods.baselines.confidence.mc_dropout import mcd_ee, mcd_mi, mcd_mls, mcd_msr, mcd_pe, mcd_variance
from harness.methods.baselines.confidence.mls import mls
from harness.methods.baselines.confidence.msr import msr
from harness.methods.baselines.confidence.pe import pe
from harness.methods.baselines.confidence.react import (
    ReActEnergyFDShifts,
    ReActMLSFDShifts,
    ReActMSRFDShifts,
    ReActTemperatureMLSFDShifts,
)
from harness.methods.baselines.confidence.temperature_mls import TemperatureMLSFDShifts
from harness.methods.baselines.confidence.vim import ViMFDShifts
from harness.methods.interface import confidence_score

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.outputs import Outputs


# The reservation itself ---------------------------------------------------------------------------


@confidence_score(version="1.0", head="deep-gamblers", citation="Liu et al., Deep Gamblers, NeurIPS 2019")
def dg_residual(outputs: Outputs) -> Tensor:
    """One minus the probability of the reservation class."""
    return outputs.head_confidence


@confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Liu et al., Deep Gamblers, NeurIPS 2019"
)
def dg_mcd_residual(outputs: Outputs) -> Tensor:
    """One minus the probability of the reservation class, mean over the dropout members."""
    return outputs.mc_head_confidence.mean(dim=0)


# Scores of the classes, without the reservation ---------------------------------------------------

dg_msr = confidence_score(version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")(msr)
"""Probability of the predicted class, without the reservation class."""

dg_mls = confidence_score(version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")(mls)
"""Largest logit, without the reservation class."""

dg_pe = confidence_score(version="1.0", head="deep-gamblers", citation="Liu et al., Deep Gamblers, NeurIPS 2019")(pe)
"""Negative entropy over the classes, without the reservation class."""

dg_energy = confidence_score(version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")(energy)
"""Log-sum-exp of the logits, without the reservation class."""

dg_temperature_mls_fd_shifts = confidence_score(
    version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023; Traub et al., NeurIPS 2024"
)(TemperatureMLSFDShifts)
"""FD-Shifts' temperature scaling of the classes, without the reservation class."""

dg_mahalanobis_fd_shifts = confidence_score(version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")(
    MahalanobisFDShifts
)
"""FD-Shifts' Mahalanobis distance to the predicted class, without the reservation class."""

dg_knn_fd_shifts = confidence_score(version="1.0", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")(
    KNNFDShifts
)
"""FD-Shifts' distance to the 50th neighbour of features of a DeepGamblers network."""

dg_mcd_msr = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Liu et al., Deep Gamblers, NeurIPS 2019"
)(mcd_msr)
"""Largest mean probability over the dropout members, without the reservation class."""

dg_mcd_mls = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Jaeger et al., ICLR 2023"
)(mcd_mls)
"""Largest mean logit over the dropout members, without the reservation class."""

dg_mcd_pe = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Jaeger et al., ICLR 2023"
)(mcd_pe)
"""Negative entropy of the mean probabilities over the dropout members, without the reservation class."""

dg_mcd_ee = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Jaeger et al., ICLR 2023"
)(mcd_ee)
"""Negative mean entropy of the dropout members, without the reservation class."""

dg_mcd_mi = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Jaeger et al., ICLR 2023"
)(mcd_mi)
"""Negative mutual information of class and weights over the dropout members, without the reservation class."""

dg_mcd_variance = confidence_score(
    version="1.0", head="deep-gamblers", classifier="mc-mean", citation="Jaeger et al., ICLR 2023"
)(mcd_variance)
"""Negative standard deviation over the dropout members, without the reservation class."""


# Scores in which the published code lets the reservation take part --------------------------------


class _WithReservation:
    def last_layer(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Weight (classes + 1, f) and bias (classes + 1,): the reservation is the last row."""
        import torch

        weight = torch.cat([outputs.weight, outputs.reservation_weight])
        return weight, torch.cat([outputs.bias, outputs.reservation_bias])


@confidence_score(version="1.0", name="dg-vim-fd-shifts", head="deep-gamblers", citation="Jaeger et al., ICLR 2023")
class DGViMFDShifts(_WithReservation, ViMFDShifts):
    """FD-Shifts' ViM: origin and scale are those of all outputs, the energy that of the classes."""


@confidence_score(
    version="1.0", name="dg-react-msr-fd-shifts", head="deep-gamblers", citation="Jaeger et al., ICLR 2023"
)
class DGReActMSRFDShifts(_WithReservation, ReActMSRFDShifts):
    """FD-Shifts' ReAct, largest probability: the reservation can be the largest."""


@confidence_score(
    version="1.0", name="dg-react-mls-fd-shifts", head="deep-gamblers", citation="Jaeger et al., ICLR 2023"
)
class DGReActMLSFDShifts(_WithReservation, ReActMLSFDShifts):
    """FD-Shifts' ReAct, largest logit: the reservation can be the largest."""


@confidence_score(
    version="1.0", name="dg-react-energy-fd-shifts", head="deep-gamblers", citation="Jaeger et al., ICLR 2023"
)
class DGReActEnergyFDShifts(_WithReservation, ReActEnergyFDShifts):
    """FD-Shifts' ReAct, log-sum-exp of all outputs, the reservation among them."""


@confidence_score(
    version="1.0",
    name="dg-react-temperature-mls-fd-shifts",
    head="deep-gamblers",
    citation="Jaeger et al., ICLR 2023",
)
class DGReActTemperatureMLSFDShifts(_WithReservation, ReActTemperatureMLSFDShifts):
    """FD-Shifts' ReAct, temperature scaling of all outputs, the reservation among them."""
