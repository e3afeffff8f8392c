"""Asking an XAI method for maps, in a way that tells it nothing but what it is to explain.

A map belongs to one sample. So all samples of a network are shuffled, whichever study they are of, and so is what metrics
ask for; some are explained again alone and in another batch, and what is said of them must agree. A method that declares
itself stochastic draws numbers for whole batches: its batches stay as they are, set by set in the order of the set, so
that the same seed gives the same numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.methods.answers import checked_maps
from harness.methods.client import MethodClient, MethodError
from harness.spec.method import AttributionMethod
from harness.spec.run import Unit
from harness.storage import array_id, seed_of
from harness.tracks.attribution.models import Description, weights_of
from harness.tracks.attribution.sources import SampleSet
from harness.tracks.passes import counted_apart
from harness.tracks.repetition import magnitudes, what_it_rests_on

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

ROUNDING = 1e-4
"""Of the magnitude of a map: what another order of sums may change."""

_AGAIN = 8  # samples that are explained again
_OFTEN = 0.05  # share of the calls of metrics of which some samples are


class ExplainSession:
    """All that is asked of a method about one network. Seeds come from what is asked, so that restarts change nothing.

    at_once: samples in one call of the method. shuffle: see `harness.tracks.base.Track`.
    """

    def __init__(self, unit: Unit, method: MethodClient, at_once: int, shuffle: int) -> None:
        assert isinstance(method.spec, AttributionMethod)
        self._stochastic = method.spec.stochastic
        self._method, self._at_once = method, at_once
        self._seeds = (unit.seed, unit.model)
        self._orders = (shuffle, unit.method_hash, unit.model)

    def begin(self, description: Description, network: nn.Module, background: np.ndarray | None) -> None:
        """Give the network to the method, which begins anew."""
        arrays = {f"network/{name}": array for name, array in weights_of(network).items()}
        if background is not None:
            arrays["background"] = background
        self._method.begin_anew()
        self._method.call("fit", arrays, seed=self._seed("fit"), meta={"network": description.as_meta()})

    def explain_sets(self, sets: Mapping[str, SampleSet]) -> dict[str, np.ndarray]:
        """Maps (n, 1 or c, *spatial) float32 of each set, all of whose inputs have one shape.

        Raises MethodError with status *invalid* where a map rests on more than its sample.
        """
        import numpy as np

        if self._stochastic:
            return {name: self._explain(each.inputs, each.targets) for name, each in sets.items()}
        inputs = np.concatenate([each.inputs for each in sets.values()])
        maps = self._explain(inputs, np.concatenate([each.targets for each in sets.values()]), first=True)
        ends = np.cumsum([len(each.targets) for each in sets.values()])
        return dict(zip(sets, np.split(maps, ends[:-1]), strict=True))

    def as_tensors(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        """Maps as metrics ask for them."""
        import torch

        return torch.from_numpy(self._explain(inputs.cpu().numpy(), targets.cpu().numpy(), model))

    def _explain(
        self, inputs: np.ndarray, targets: np.ndarray, network: nn.Module | None = None, first: bool = False
    ) -> np.ndarray:
        import numpy as np

        weights = {} if network is None else {f"network/{name}": array for name, array in weights_of(network).items()}

        def ask(numbers: np.ndarray, verb: str = "again") -> np.ndarray:
            given = {"inputs": inputs[numbers], "targets": targets[numbers]}
            seed = self._seed(verb, *map(array_id, given.values()))
            return checked_maps(self._method.call("explain", {**given, **weights}, seed=seed), given["inputs"].shape)

        rng = np.random.default_rng(seed_of([*self._orders, array_id(inputs), array_id(targets)]))
        order = np.arange(len(inputs)) if self._stochastic else rng.permutation(len(inputs))
        batches = [order[start : start + self._at_once] for start in range(0, len(order), self._at_once)]
        answered = [ask(batch, "explain") for batch in batches]
        if len({each.shape[1] for each in answered}) > 1:
            raise MethodError("invalid", "some of its maps have one channel and others several")
        maps = np.concatenate(answered)[np.argsort(order)]
        if not self._stochastic and (first or rng.random() < _OFTEN):
            again = rng.permutation(len(maps))[:_AGAIN]
            counted_apart(self._method, lambda: self._check(again, maps, batches, ask))
        return maps

    def _check(self, again: np.ndarray, maps: np.ndarray, batches: Sequence[np.ndarray], ask: _Ask) -> None:
        """Explain some samples again: the first alone, and the others in a batch of their own.

        Most must agree, not all: where a network takes the largest of nearly equal numbers, rounding decides which one a
        gradient goes through, and one sample of sixty was seen to get another map in another batch.
        """
        import numpy as np

        def same(one: np.ndarray, other: np.ndarray) -> bool:
            allowed = ROUNDING * magnitudes(one[None], other[None], maps)
            return one.shape == other.shape and bool(np.abs(one - other).max() <= allowed)

        companies = [company for company in (again[:1], again[1:]) if len(company)]
        differing = [
            sample
            for company in companies
            for sample, said in zip(company, ask(company), strict=True)
            if not same(said, maps[sample])
        ]
        if 2 * len(differing) <= len(again):
            return
        batch = next(each for each in batches if differing[0] in each)
        cause = what_it_rests_on(differing[0], batch, maps[batch], ask, same)
        raise MethodError(
            "invalid",
            f"its map of one and the same sample rests {cause}; explain each sample by itself, or declare stochastic=True if "
            "it draws numbers",
        )

    def _seed(self, *what: str) -> int:
        return seed_of([*self._seeds, *what])


if TYPE_CHECKING:
    from collections.abc import Callable

    _Ask = Callable[[np.ndarray], np.ndarray]
