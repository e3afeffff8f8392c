"""Relative stability: how much the map changes for a change of the input, the output or the representation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.metrics.attribution._neighbours import asked, measured, noisy, norm
from harness.metrics.attribution.base import MapMetric, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.attribution._neighbours import Near
    from harness.metrics.attribution.forwards import Forwards


@dataclass(frozen=True, kw_only=True)
class RelativeStability(MapMetric):
    """Largest relative change of the map over the change of something else, for inputs x' near x.

    The change of the map is ||(a - a') / a||, number by number, with maps of root mean square 1. The three metrics
    perturb alike, so that a method behind `Explanations` is asked once for all of them.

    Corrected reading, as in the paper: only x' of the same predicted class count (NaN if there is none), and the norm
    in the denominator is at least `epsilon`. So is the size of each number that is divided by: a smaller one says
    how near 0 it is rather than how much it changes. Noise has a size of U(lower, upper) and a random sign.

    LATEC's: all x' count, `epsilon` stands only where a divisor is exactly 0, and noise U(lower, upper) makes each
    number but the sample's first (see `harness.metrics.attribution._neighbours.noisy`) larger. It takes epsilon 1e-6,
    so that maps with zeros score in the order of a million; lower 0.02 and upper 0.2, but 0 and 0.05 for the
    representation.
    """

    criterion = "robustness"
    direction = "lower"
    range = (0.0, math.inf)
    citation = "Agarwal et al. 2022, Rethinking Stability for Attribution-based Explanations"
    needs = frozenset({"explain"})

    draws: int = 10
    lower: float = 0.02
    upper: float = 0.2
    epsilon: float = 0.01
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.draws >= 1 and self.epsilon > 0, "draws must be at least 1 and epsilon above 0")
        require(0 <= self.lower < self.upper, "0 <= lower < upper must hold")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        def change(rows: slice, inputs: Tensor, maps: Tensor) -> Tensor:
            own = _of_unit_moment(samples.compared(self.reading)[rows])[:, None]
            return norm(self._relative(own, _of_unit_moment(maps)))

        def other() -> dict[str, Tensor]:
            return {"change": self._other_change(forwards, samples), "counts": self._counts(forwards, samples)}

        shared = forwards.shared(self.id, self.constants, samples, other)
        ratio = asked(samples, self.draws, self._near(samples), self.reading, change) / self._divisor(shared["change"])
        counts = shared["counts"]
        return ratio.masked_fill(~counts, -torch.inf).amax(dim=1).masked_fill(~counts.any(dim=1), torch.nan)

    @abstractmethod
    def _other_change(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        """(n, draws): the norm that the change of the map is divided by."""

    def _near(self, samples: MapBatch) -> Near:
        def noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            if self.reading == "latec":
                return generator.uniform(self.lower, self.upper, shape)
            signed = generator.uniform(-1.0, 1.0, shape)
            return np.copysign(self.lower + np.abs(signed) * (self.upper - self.lower), signed)

        return noisy(samples, "relative_stability", self.draws, noise, self.reading)

    def _near_logits(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        """(n, draws, classes), the same for all three metrics."""

        def compute() -> dict[str, Tensor]:
            near = self._near(samples)
            return {"logits": measured(samples, self.draws, near, lambda rows, inputs: forwards.logits(inputs))}

        constants = {"draws": self.draws, "lower": self.lower, "upper": self.upper, "reading": self.reading}
        return forwards.shared("relative_stability", constants, samples, compute)["logits"]

    def _relative_change(self, own: Tensor, samples: MapBatch, view: Callable[[Tensor], Tensor]) -> Tensor:
        """(n, draws): norm of the relative change of a view (m, k) of inputs, which is `own` (n, k) of the samples."""

        def change(rows: slice, inputs: Tensor) -> Tensor:
            near = view(inputs).unflatten(0, (-1, self.draws))
            return norm(self._relative(own[rows, None], near)).flatten()

        return measured(samples, self.draws, self._near(samples), change)

    def _counts(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        """(n, draws): whether an input nearby counts."""
        import torch

        if self.reading == "latec":
            return torch.ones(len(samples), self.draws, dtype=torch.bool)
        predicted = forwards.base(samples).argmax(dim=1, keepdim=True)
        return self._near_logits(forwards, samples).argmax(dim=2) == predicted

    def _relative(self, own: Tensor, other: Tensor) -> Tensor:
        return (own - other) / self._divisor(own)

    def _divisor(self, values: Tensor) -> Tensor:
        """Kept away from 0; without sign, because only norms of quotients are taken."""
        import torch

        if self.reading == "latec":
            return torch.where(values == 0, self.epsilon, values.abs())
        return values.abs().clamp_min(self.epsilon)


@dataclass(frozen=True, kw_only=True)
class RelativeInputStability(RelativeStability):
    r"""Largest relative change of the map over that of the input, ||(x - x') / x|| (see `RelativeStability`).

    $$ \max_d \frac{\lVert (a - a_d) / a \rVert}{\max \left( \lVert (x - x_d) / x \rVert, \epsilon \right)} $$

    $x_d$: draw $d$ of an input nearby, $a_d$: its map; divisions number by number.

    Lower is better; in [0, inf). 0 for a method that answers the same to all inputs.
    """

    id = "relative_input_stability"
    title = "Relative input stability"

    def _other_change(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        def numbers(inputs: Tensor) -> Tensor:
            return inputs.flatten(1).to(torch.float64)

        return self._relative_change(numbers(samples.inputs), samples, numbers)


@dataclass(frozen=True, kw_only=True)
class RelativeOutputStability(RelativeStability):
    r"""Largest relative change of the map over the change of the output, ||h(x) - h(x')|| (see `RelativeStability`).

    $$ \max_d \frac{\lVert (a - a_d) / a \rVert}{\max \left( \lVert h(x) - h(x_d) \rVert, \epsilon \right)} $$

    $x_d$: draw $d$ of an input nearby, $a_d$: its map; $h$: the logits.

    h: the logits. Lower is better; in [0, inf). 0 for a method that answers the same to all inputs.
    """

    id = "relative_output_stability"
    title = "Relative output stability"

    def _other_change(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        return norm(forwards.base(samples)[:, None] - self._near_logits(forwards, samples))


@dataclass(frozen=True, kw_only=True)
class RelativeRepresentationStability(RelativeStability):
    r"""Largest relative change of the map over that of the inner representation, ||(l - l') / l||.

    $$ \max_d \frac{\lVert (a - a_d) / a \rVert}{\max \left( \lVert (l(x) - l(x_d)) / l(x) \rVert, \epsilon \right)} $$

    $x_d$: draw $d$ of an input nearby, $a_d$: its map; $l$: the representation.

    The representation is what `Forwards.features` returns (see also `RelativeStability`). Lower is better; in
    [0, inf). 0 for a method that answers the same to all inputs.
    """

    id = "relative_representation_stability"
    title = "Relative representation stability"

    def _other_change(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        return self._relative_change(forwards.features(samples.inputs), samples, forwards.features)


def _of_unit_moment(maps: Tensor) -> Tensor:
    """Divided by the root of the mean square of the last axis; a map that is zero everywhere stays so."""
    moment = maps.square().mean(dim=-1, keepdim=True).sqrt()
    return maps / moment.where(moment > 0, 1.0)
