"""Asking a metric about maps, in a way that tells it nothing about who made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.methods.answers import checked_scores
from harness.methods.client import MethodClient, MethodError
from harness.spec.errors import UsageError
from harness.spec.method import AttributionMetricMethod
from harness.spec.run import Unit
from harness.storage import seed_of
from harness.tracks.attribution.models import Description, weights_of
from harness.tracks.attribution.sources import SampleSet
from harness.tracks.attribution_metric.maps import MapFile
from harness.tracks.passes import counted_apart
from harness.tracks.repetition import magnitudes, what_it_rests_on

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

_ROUNDING = 1e-3  # of the spread of the scores and of their magnitude: what another batch may change


def check_maps(maps: MapFile, samples: SampleSet, where: str) -> None:
    """Raises UsageError for maps that are not of these samples, one by one."""
    shape = next(iter(maps.maps.values())).shape
    spatial, channels = samples.inputs.shape[2:], (1, samples.inputs.shape[1])
    if shape[0] != len(samples.inputs) or shape[2:] != spatial or shape[1] not in channels:
        raise UsageError(
            f"the maps of {where} have shape {shape}, which does not fit inputs of shape {samples.inputs.shape}."
        )


class ScoringSession:
    """All that is asked of a metric in one unit. Every call has the same seed: a map's score is that of any batch.

    at_once: maps in one call. shuffle: see `harness.tracks.base.Track`; a metric that declares itself stochastic draws for
    whole batches, which therefore stay the same.
    """

    def __init__(self, unit: Unit, method: MethodClient, samples: SampleSet, at_once: int, shuffle: int) -> None:
        assert isinstance(method.spec, AttributionMetricMethod)
        self._stochastic = method.spec.stochastic
        self._method = method
        self._samples = samples
        self._at_once = at_once
        self._seed = seed_of([unit.seed, unit.model, unit.study])
        self._order = [self._seed] if self._stochastic else [self._seed, shuffle]

    def begin(self, description: Description, network: nn.Module) -> None:
        """Give the network to the metric, which begins anew."""
        arrays = {f"network/{name}": array for name, array in weights_of(network).items()}
        if self._samples.background is not None:
            arrays["background"] = self._samples.background
        self._method.begin_anew()
        self._method.call("fit", arrays, seed=self._seed, meta={"network": description.as_meta()})

    def score(self, maps: MapFile) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores (methods, n) of all maps, and of those of the randomised network where there are any.

        Maps of all methods are mixed. Raises MethodError for a metric that answers otherwise for the same maps in
        another batch, unless it says so.
        """
        import numpy as np

        every = np.stack([*maps.maps.values(), *maps.randomised.values()])
        rows, n = every.shape[:2]
        flat, order = every.reshape(-1, *every.shape[2:]), np.random.default_rng(self._order).permutation(rows * n)
        scores = np.empty(rows * n, dtype=np.float32)
        scores[order] = self._asked(flat, order)
        if not self._stochastic:
            counted_apart(self._method, lambda: self._check_repeatable(flat, order, scores))
        table, stored = scores.reshape(rows, n), len(maps.maps)
        return table[:stored], table[stored:] if maps.randomised else None

    def _asked(self, maps: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Scores of the chosen maps; those of one method follow each other in the order of the samples."""
        import numpy as np

        parts = []
        for start in range(0, len(chosen), self._at_once):
            some = chosen[start : start + self._at_once]
            samples = some % len(self._samples.inputs)
            given = {"inputs": self._samples.inputs[samples], "targets": self._samples.targets[samples]}
            answer = self._method.call("score", {**given, "maps": maps[some]}, seed=self._seed)
            parts.append(checked_scores(answer, len(some)))
        return np.concatenate(parts)

    def _check_repeatable(self, maps: np.ndarray, order: np.ndarray, scores: np.ndarray) -> None:
        """Ask about some maps again: the last alone, and then every seventh, last first."""
        import numpy as np

        defined = scores[np.isfinite(scores)]
        spread = float(np.ptp(defined)) if defined.size else 0.0

        def same(one: np.ndarray, other: np.ndarray) -> bool:
            allowed = _ROUNDING * min(spread, float(magnitudes(one[None], other[None], defined)[0]))
            return bool(np.isclose(one, other, rtol=0.0, atol=allowed, equal_nan=True))

        def ask(numbers: np.ndarray) -> np.ndarray:
            return self._asked(maps, numbers)

        for company in filter(len, (order[-1:], order[-8::-7][: self._at_once])):
            for place, score in zip(company, ask(company), strict=True):
                if not same(score, scores[place]):
                    at = int(np.flatnonzero(order == place)[0]) // self._at_once * self._at_once
                    batch = order[at : at + self._at_once]
                    raise MethodError(
                        "invalid",
                        f"its score of one and the same map rests {what_it_rests_on(place, batch, scores[batch], ask, same)}; "
                        "score each map by itself, or declare stochastic=True if it draws numbers for whole batches",
                    )
