"""The kinds of methods that the harness knows. What the rooms above need of a kind is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.methods.conformance import Check, check_confidence_score
from harness.methods.explainer_conformance import check_explainer
from harness.methods.metric_conformance import check_attribution_metric
from harness.spec.method import AttributionMethod, ConfidenceMethod, MethodSpec, MetricMethod, QueryMethod, Task
from harness.spec.result import Passes
from harness.tracks.base import Contest, Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from harness.data.catalog import LoadedBenchmark
    from harness.methods.client import MethodClient

Verb = Callable[[dict[str, "Any"], dict[str, "np.ndarray"]], dict[str, "np.ndarray"]]
"""What a worker does when it is asked: details and arrays in, arrays out."""


class Host(Protocol):
    """Holds a user's method in the method worker, and knows what it can be asked."""

    @property
    def verbs(self) -> Mapping[str, Verb]: ...

    def passes(self) -> Passes | None:
        """What the method passed through networks since this was last asked; None where it is given none."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of method. Everything is a function, so that nothing heavy is loaded before it is needed.

    track: the protocol as it is exercised. contest: how methods compare under it. host: what answers in the
    method worker, given the decorated object and the device. check: the conformance suite.
    """

    task: Task
    default_benchmark: str
    simple_method: str
    """A baseline that stands for any method where none is named."""
    caption: str
    """What the numbers of a run's table are."""
    withheld: str
    """What a method is never given."""
    unit_seconds: float
    """Rough time of one unit of the embedded benchmark on a laptop-class core, without the method's own."""
    track: Callable[[LoadedBenchmark, MethodSpec, str], Track]
    contest: Callable[[LoadedBenchmark], Contest]
    host: Callable[[Any, str], Host]
    check: Callable[[MethodClient], Iterator[Check]]


def _confidence_track(protocol: LoadedBenchmark, method: MethodSpec, device: str) -> Track:
    from harness.tracks.confidence.track import ConfidenceTrack

    assert isinstance(method, ConfidenceMethod)
    return ConfidenceTrack(protocol, method, device)


def _confidence_contest(protocol: LoadedBenchmark) -> Contest:
    from harness.tracks.confidence.contest import ConfidenceContest

    return ConfidenceContest(protocol)


def _confidence_host(definition: Any, device: str) -> Host:
    from harness.tracks.confidence.host import ConfidenceHost

    return ConfidenceHost(definition, device)


def _query_track(protocol: LoadedBenchmark, method: MethodSpec, device: str) -> Track:
    from harness.tracks.query.track import QueryTrack

    assert isinstance(method, QueryMethod)
    return QueryTrack(protocol, method, device)


def _query_contest(protocol: LoadedBenchmark) -> Contest:
    from harness.tracks.query.contest import QueryContest

    return QueryContest(protocol)


def _query_host(definition: Any, device: str) -> Host:
    from harness.tracks.query.host import QueryHost

    return QueryHost(definition, device)


def _check_query(method: MethodClient) -> Iterator[Check]:
    from harness.tracks.query.conformance import check_query_strategy

    return check_query_strategy(method)


def _attribution_track(protocol: LoadedBenchmark, method: MethodSpec, device: str) -> Track:
    from harness.tracks.attribution.track import AttributionTrack

    assert isinstance(method, AttributionMethod)
    return AttributionTrack(protocol, method, device)


def _attribution_contest(protocol: LoadedBenchmark) -> Contest:
    from harness.tracks.attribution.contest import AttributionContest

    return AttributionContest(protocol)


def _attribution_host(definition: Any, device: str) -> Host:
    from harness.tracks.attribution.host import AttributionHost

    return AttributionHost(definition, device)


def _meta_track(protocol: LoadedBenchmark, method: MethodSpec, device: str) -> Track:
    from harness.tracks.meta.track import MetaTrack

    assert isinstance(method, MetricMethod)
    return MetaTrack(protocol, method, device)


def _meta_contest(protocol: LoadedBenchmark) -> Contest:
    from harness.tracks.meta.contest import MetaContest

    return MetaContest(protocol)


def _meta_host(definition: Any, device: str) -> Host:
    from harness.tracks.meta.host import MetaHost

    return MetaHost(definition, device)


KINDS: Mapping[Task, Kind] = {
    "confidence": Kind(
        "confidence",
        "confidence-mnist",
        "msr",
        "mean over seeds; 95 % interval over test samples and seeds\nareas × 1000, the rest in %",
        "labels of test data",
        0.1,
        _confidence_track,
        _confidence_contest,
        _confidence_host,
        check_confidence_score,
    ),
    "query": Kind(
        "query",
        "query-mnist",
        "random-sampling",
        "mean over seeds; 95 % interval over held-out data and seeds\nin %; aubc: mean height of the budget curve",
        "labels of data that are not annotated",
        8.0,
        _query_track,
        _query_contest,
        _query_host,
        _check_query,
    ),
    "attribution": Kind(
        "attribution",
        "attribution-mnist",
        "input-x-gradient",
        "median over samples, mean over models; 95 % interval over samples",
        "masks of where the truth lies",
        4.0,
        _attribution_track,
        _attribution_contest,
        _attribution_host,
        check_explainer,
    ),
    "attribution-metric": Kind(
        "attribution-metric",
        "meta-mnist",
        "deletion",
        "mean over networks; 95 % interval over samples, for halves over halvings\nin %; tau and W × 100",
        "who made a map, and masks of where the truth lies,",
        1.0,
        _meta_track,
        _meta_contest,
        _meta_host,
        check_attribution_metric,
    ),
}
