"""How a score is asked about a network: all samples of all sets in one stream, whose order and batches say nothing.

A confidence belongs to one sample. A method that is asked set by set, in the order of a file, learns what no user could
tell it: which samples belong together, which set it is, and, where files are sorted, the class. So all samples are
shuffled, cut into batches of different sizes, and some come twice, in other batches; what is said of them must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from harness.methods.client import MethodError
from harness.methods.conformance import LARGEST_BATCH
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.repetition import magnitudes, what_it_rests_on

if TYPE_CHECKING:
    import numpy as np

_TWICE, _LEAST_TWICE = 0.02, 32  # share and number of samples that come twice

Ask = Callable[[dict[str, "np.ndarray"]], "np.ndarray"]
"""Arrays of a batch (label-free) in, its confidences (n,) as the method gave them out. Raises MethodError."""


def ask_as_stream(sets: Mapping[str, ModelOutputs], ask: Ask, seed: int, tolerance: float) -> dict[str, np.ndarray]:
    """The confidences of each set, in its own order; finite or not.

    seed: of the order and the batches. tolerance: by how much two answers for one sample may differ, as a share of
    their magnitude (`magnitudes`). Sets that hold other arrays than the rest (or of another type or size) make a stream of their own.
    Raises MethodError with status *invalid* where an answer rests on more than its sample.
    """
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, samples in sets.items():
        alike.setdefault(_layout(samples), []).append(name)
    answers: dict[str, np.ndarray] = {}
    for number, names in enumerate(alike.values()):
        stream = _Stream([sets[name] for name in names], ask, tolerance)
        answers |= dict(zip(names, stream.answers([seed, number]), strict=True))
    return {name: answers[name] for name in sets}


class _Stream:
    """Sets with the same arrays, whose samples are numbered one set after another."""

    def __init__(self, sets: Sequence[ModelOutputs], ask: Ask, tolerance: float) -> None:
        import numpy as np

        self._sets, self._ask, self._tolerance = sets, ask, tolerance
        self._ends = np.cumsum([len(samples.labels) for samples in sets])

    def answers(self, seed: Sequence[int]) -> list[np.ndarray]:
        import numpy as np

        batches = list(shuffled_batches(int(self._ends[-1]), np.random.default_rng(seed)))
        answered = [self._asked(batch) for batch in batches]
        asked, given = np.concatenate(batches), np.concatenate(answered)
        _, first = np.unique(asked, return_index=True)
        again = np.setdiff1d(np.arange(len(asked)), first)
        confidence = given[first]
        differing = ~self._agree(given[again], confidence[asked[again]], given)
        if differing.any():
            self._refuse(int(asked[again[differing][0]]), batches, answered, given)
        return np.split(confidence, self._ends[:-1])

    def _asked(self, numbers: np.ndarray) -> np.ndarray:
        """Confidences of samples, whichever sets they are from."""
        import numpy as np

        of = np.searchsorted(self._ends, numbers, side="right")
        order = np.argsort(of, kind="stable")
        starts = self._ends - [len(samples.labels) for samples in self._sets]
        taken = [samples.take((numbers - starts[each])[of == each]).arrays for each, samples in enumerate(self._sets)]
        arrays = {}
        for name in taken[0]:
            axis = _axis(name)
            joined = np.concatenate([arrays_of[name] for arrays_of in taken], axis=axis)
            arrays[name] = np.take(joined, np.argsort(order), axis=axis)
        return self._ask(arrays)

    def _agree(self, one: np.ndarray, other: np.ndarray, every: np.ndarray) -> np.ndarray:
        import numpy as np

        one, other = np.atleast_1d(one), np.atleast_1d(other)
        allowed = self._tolerance * magnitudes(one, other, every)
        same: np.ndarray = np.isclose(one, other, rtol=0.0, atol=allowed, equal_nan=True)
        return same

    def _refuse(
        self, sample: int, batches: Sequence[np.ndarray], answered: Sequence[np.ndarray], every: np.ndarray
    ) -> NoReturn:
        """Find out, by asking once more, on what else the answer for a sample rests."""
        batch, said = next((each, said) for each, said in zip(batches, answered, strict=True) if sample in each)

        def same(one: np.ndarray, other: np.ndarray) -> bool:
            return bool(self._agree(one, other, every))

        cause = what_it_rests_on(sample, batch, said, self._asked, same)
        raise MethodError(
            "invalid", f"its confidence for one and the same sample rests {cause}; each sample must be scored by itself"
        )


def shuffled_batches(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions of all samples, and of some a second time, in random order, in batches of at most `LARGEST_BATCH`.

    No batch has more than half of them, or none of those that come twice would come in other company. The last batch is
    a single sample.
    """
    import numpy as np

    twice = rng.choice(count, min(count, max(_LEAST_TWICE, round(_TWICE * count))), replace=False)
    order = rng.permutation(np.concatenate([np.arange(count), twice]))
    start, most = 0, max(1, min(LARGEST_BATCH, len(order) // 2))
    while start < len(order) - 1:
        end = min(start + int(rng.integers(max(1, most // 4), most, endpoint=True)), len(order) - 1)
        yield order[start:end]
        start = end
    yield order[-1:]


def _layout(samples: ModelOutputs) -> tuple[object, ...]:
    """What must be equal for arrays of two sets to be joined."""
    return tuple(
        (name, array.dtype.str, array.shape[: _axis(name)], array.shape[_axis(name) + 1 :])
        for name, array in sorted(samples.arrays.items())
    )


def _axis(name: str) -> int:
    """Where the samples are: see `ModelOutputs.take`."""
    return 1 if name.startswith("mc_") else 0
