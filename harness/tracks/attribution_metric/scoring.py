"""From a metric's scores to what it is worth: judgements of units, and what several networks say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.attribution.registry import METRICS
from harness.spec.attribution_metric import AttributionMetricBenchmark
from harness.spec.method import AttributionMetricMethod
from harness.spec.run import Unit
from harness.statistics.resampling import shared_weights
from harness.tracks.attribution_metric import judging
from harness.tracks.attribution_metric.maps import MapFile
from harness.tracks.base import Answers, Measurement, Track
from harness.tracks.summary import scope_draws

POWER, SANITY, SANITY_SHARE = "power", "sanity", "sanity_share"
RANDOMISATION, HALVES, SEEDS = "randomisation_effect", "half_concordance", "seed_concordance"
VERSIONS = {"tau": "1", POWER: "1", SANITY: "1", SANITY_SHARE: "1", RANDOMISATION: "1", HALVES: "1", SEEDS: "1"}


def tau(criterion: str) -> str:
    """Id of the agreement with a criterion's consensus."""
    return f"tau_{criterion}"


@dataclass(frozen=True)
class Judgement:
    """A metric on one network.

    draws: id -> (1 + replicates,), what the samples give and then each resample; NaN at first where it is undefined.
    What the network's maps cannot tell of any metric is not there. scores: (methods, n) of real methods, higher = better, only their order counting; `defined` of n
    samples. order: criterion -> ranks of the methods by this metric and in the consensus.
    """

    draws: Mapping[str, NDArray[np.float64]]
    scores: NDArray[np.float64]
    methods: tuple[str, ...]
    samples: int
    order: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def judge(
    benchmark: AttributionMetricBenchmark, method: AttributionMetricMethod, maps: MapFile, outputs: Answers
) -> Judgement:
    """Everything that one network's maps say about a metric; see `harness.tracks.attribution_metric.judging`."""
    sign = 1.0 if method.higher_is_better else -1.0
    own = sign * outputs["scores"].astype(np.float64)
    randomised = sign * outputs["randomised"].astype(np.float64) if maps.randomised else np.empty((0, own.shape[1]))
    every = judging.ordered(np.concatenate([own, randomised]))
    names = list(maps.maps)
    real = [place for place, name in enumerate(names) if name not in benchmark.sanity]
    known_nothing = [place for place, name in enumerate(names) if name in benchmark.sanity]
    scores, sanity, other = every[real], every[known_nothing], every[len(names) :]
    # A sample for which any map has no score is left out for all: an undefined score is no bad one.
    defined = judging.complete(every)
    settings = benchmark.bootstrap
    references = _references(benchmark, method, maps, real)
    measured = (POWER, SANITY, SANITY_SHARE, HALVES, *((RANDOMISATION,) if maps.randomised else ()))
    draws = {name: np.full(1 + settings.replicates, np.nan) for name in measured}
    agreement = judging.agreement(np.where(defined, scores, np.nan), references, settings.replicates, settings.seed)
    if defined.any():
        scores, sanity, other = scores[:, defined], sanity[:, defined], other[:, defined]
        weights = shared_weights(int(defined.sum()), settings.replicates, settings.seed)
        draws[POWER] = judging.power(scores, weights, benchmark.alpha)
        draws[SANITY] = judging.superiority(scores, sanity, weights)
        draws[SANITY_SHARE] = judging.share_above(scores, sanity, weights)
        draws[HALVES] = judging.concordance_of_halves(scores, settings.replicates, settings.seed)
        if maps.randomised:
            before = scores[[[names[place] for place in real].index(name) for name in maps.randomised]]
            draws[RANDOMISATION] = judging.paired_effect(before, other, weights)
    # Last, because networks without reference scores have none: tables of units show the first.
    for criterion in (each for each in benchmark.reference if each in {of.criterion for of in references}):
        known = criterion in agreement
        draws[tau(criterion)] = agreement[criterion][0] if known else np.full(1 + settings.replicates, np.nan)
    return Judgement(
        draws,
        scores if defined.any() else scores[:, :0],
        tuple(names[place] for place in real),
        int(defined.sum()),
        {criterion: (ours, theirs) for criterion, (_, ours, theirs) in agreement.items()},
    )


def names_of(benchmark: AttributionMetricBenchmark) -> tuple[str, ...]:
    """Every judgement by id, in the order of tables."""
    return (*map(tau, benchmark.reference), *(name for name in VERSIONS if name != "tau"))


def mean_over_retrained(
    benchmark: AttributionMetricBenchmark, members: Mapping[Unit, Measurement]
) -> NDArray[np.float64] | None:
    """Concordance of networks that differ in the seed of their training, mean over the studies that have such."""
    found, settings = [], benchmark.bootstrap
    for study in (each for each in benchmark.studies if each.retrained):
        alike = [each for unit, each in members.items() if unit.study == study.id and unit.model in study.retrained]
        if len(alike) == len(study.retrained):
            known = all(each.arrays["scores"].shape[1] for each in alike)
            nothing = np.full(1 + settings.replicates, np.nan)
            found.append(
                judging.concordance_of_networks(_common(alike), settings.replicates, settings.seed)
                if known
                else nothing
            )
    return np.mean(found, axis=0) if found else None


def over_groups(track: Track, measured: Mapping[Unit, Measurement], name: str) -> NDArray[np.float64] | None:
    """Draws of one judgement: mean over networks, then over groups of studies.

    None where no network can tell it, and where it is undefined on one that could: nobody chooses where to be judged.
    """
    groups = [
        draws for scope in track.scopes(measured) if (draws := scope_draws(track, scope, measured, name)) is not None
    ]
    found = np.asarray(np.mean(groups, axis=0)) if groups else np.array([np.nan])
    return found if np.isfinite(found[0]) else None


def _common(members: Sequence[Measurement]) -> list[NDArray[np.float64]]:
    """Scores of the methods that all networks have, in one order."""
    methods = [each.arrays["methods"].tolist() for each in members]
    names = [name for name in methods[0] if all(name in each for each in methods)]
    return [
        each.arrays["scores"][[own.index(name) for name in names]] for each, own in zip(members, methods, strict=True)
    ]


def _references(
    benchmark: AttributionMetricBenchmark, method: AttributionMetricMethod, maps: MapFile, real: Sequence[int]
) -> list[judging.ReferenceScores]:
    """Stored scores of the reference metrics, without the one that the method is, or is a version of."""
    own = {method.variant_of, method.name.replace("-", "_")}
    return [
        judging.ReferenceScores(name, criterion, METRICS[name].direction == "higher", maps.reference[name][real])
        for criterion, names in benchmark.reference.items()
        for name in names
        if name in maps.reference and name not in own
    ]
