"""Asking a score: what it may learn from a network's reference, and then about all samples of that network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.methods.answers import confidences_as_given
from harness.methods.client import MethodClient, MethodError
from harness.methods.conformance import WANTED
from harness.spec.errors import UsageError
from harness.spec.grids import Model
from harness.spec.run import Unit
from harness.storage import seed_of
from harness.tracks.confidence.model_outputs import ModelOutputs, OutputSource
from harness.tracks.confidence.stream import ask_as_stream
from harness.tracks.passes import counted_apart, share, together

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.result import Passes

PARTS = frozenset({"train", "validation"})
"""Of a reference."""


@dataclass(frozen=True)
class StreamRequest:
    """What is asked of a score about a network; fields as in `ask_as_stream`, `sets` read only where it must be asked.

    own: the sets that no earlier study of the network has, whose share of what is passed counts for this one.
    """

    sets: Callable[[], Mapping[str, ModelOutputs]]
    order: int
    tolerance: float
    own: Collection[str]


class ScoreSession:
    """All that is asked of scores in one process.

    needs: what the method declares. reference: part of a model's reference -> name of its set.
    """

    def __init__(
        self, source: OutputSource, needs: Collection[str], reference: Callable[[Model], Mapping[str, str]]
    ) -> None:
        self._source, self._needs, self._reference = source, needs, reference
        self._wanted: set[str] = set()  # parts that the method has asked for; never more than there are
        self._learning: Passes | None = None  # what it passed when it last learnt from a reference
        # Whom and what was asked last, what it said, and what it passed: studies share a network's one stream.
        self._last: tuple[object, Mapping[str, np.ndarray] | MethodError, Passes | None] | None = None

    def answers(
        self, unit: Unit, model: Model, method: MethodClient, request: StreamRequest
    ) -> Mapping[str, np.ndarray]:
        """Set -> confidences as given, finite or not. Raises MethodError, the same one for all studies of a network."""
        asked = (method, model.id, unit.seed, unit.limit)
        if self._last is None or self._last[0] != asked:
            method.begin_anew()
            self._last = (asked, *counted_apart(method, lambda: self._said(unit, model, method, request)))
        _, said, passes = self._last
        if isinstance(said, MethodError):
            raise said
        sizes = {name: len(confidence) for name, confidence in said.items()}
        method.passes = together(method.passes, share(passes, sizes, request.own))
        return said

    def inputs(self, name: str) -> dict[str, np.ndarray]:
        """The images of a set, where the method asks for them and there are any."""
        inputs = self._source.inputs(name) if "inputs" in self._needs else None
        return {} if inputs is None else {"inputs": inputs}

    def _said(
        self, unit: Unit, model: Model, method: MethodClient, request: StreamRequest
    ) -> Mapping[str, np.ndarray] | MethodError:
        try:
            said = self._ask(unit, model, method, request)
        except MethodError as error:
            return error
        method.passes = together(method.passes, self._learning)
        return said

    def _ask(self, unit: Unit, model: Model, method: MethodClient, request: StreamRequest) -> Mapping[str, np.ndarray]:
        calls = itertools.count()

        def ask(samples: dict[str, np.ndarray]) -> np.ndarray:
            answer, seed = None, seed_of([unit.seed, model.id, next(calls)])
            while answer is None or self._asks_for_more(answer, method):
                self._fit(unit, model, method)
                answer = method.call("score", samples, seed=seed)
            return confidences_as_given(answer, _count(samples))

        return ask_as_stream(request.sets(), ask, request.order, request.tolerance)

    def _fit(self, unit: Unit, model: Model, method: MethodClient) -> None:
        """Let the method learn from reference outputs, once for each model (and again after a restart).

        What has to be computed first is deferred until the method asks for it: most learn nothing, and a training set
        may cost more than all that they are asked about. Of a method that begins again, only the last time counts.
        """
        if method.state == model.id:
            return
        arrays = {f"shared/{name}": array for name, array in self._source.shared(model).items()}
        network = self._source.network(model) if "model" in self._needs else None
        if network is not None:
            arrays |= {f"network/{name}": array for name, array in network[1].items()}
        meta: dict[str, Any] = {
            "network": network[0] if network else None,
            "absent": {name: why for name, why in self._source.absent().items() if name in self._needs},
        }
        parts, answer = self._reference(model), None
        while answer is None or self._asks_for_more(answer, method):
            given = [part for part, name in parts.items() if part in self._wanted or self._source.ready(model, name)]
            for part in given:
                arrays |= self._part(model, part, parts[part])
            meta |= {"reference": given, "deferred": [part for part in parts if part not in given]}
            learn = partial(method.call, "fit", arrays, seed=seed_of([unit.seed, model.id, "fit"]), meta=meta)
            answer, self._learning = counted_apart(method, learn)
        method.state = model.id

    def _asks_for_more(self, answer: Mapping[str, np.ndarray], method: MethodClient) -> bool:
        """Whether an answer asks for a part that was deferred; then the method has to begin again."""
        wanted = {part for part in PARTS if WANTED + part in answer} - self._wanted
        if wanted:
            self._wanted.update(wanted)
            method.state = None
        return bool(wanted)

    def _part(self, model: Model, part: str, name: str) -> dict[str, np.ndarray]:
        """Labelled outputs of a part of the reference."""
        samples = self._source.samples(model, name)
        check_any(samples, f"{model.id}, set {name}")
        given = {**samples.arrays, **self.inputs(name), "labels": samples.labels}
        return {f"{part}/{key}": array for key, array in given.items()}


def check_any(samples: ModelOutputs, where: str) -> None:
    """Raise UsageError for a set without samples."""
    if not len(samples.labels):
        raise UsageError(f"{where} has no samples; name others in the benchmark, or leave it out.")


def _count(samples: Mapping[str, np.ndarray]) -> int:
    return next(len(samples[name]) for name in ("logits", "probabilities", "head_confidence") if name in samples)
