"""The attribution metrics by id, and the orders in which released LATEC scores hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from harness.metrics.attribution.base import MapMetric
from harness.metrics.attribution.complexity import Complexity, EffectiveComplexity, Sparseness
from harness.metrics.attribution.faithful_agreement import Infidelity, Sufficiency
from harness.metrics.attribution.faithful_correlation import (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    MonotonicityCorrelation,
)
from harness.metrics.attribution.faithful_insertion import Deletion, Insertion
from harness.metrics.attribution.faithful_regions import IROF, RegionPerturbation
from harness.metrics.attribution.faithful_removal import ROAD, PixelFlipping
from harness.metrics.attribution.latec_constants import latec_constants, of_modality
from harness.metrics.attribution.localisation import PointingGame, RelevanceMass, RelevanceRank
from harness.metrics.attribution.map_batch import Reading
from harness.metrics.attribution.randomisation import ParameterRandomisation
from harness.metrics.attribution.relative_stability import (
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
)
from harness.metrics.attribution.robustness import Continuity, LocalLipschitz, MaxSensitivity
from harness.spec.errors import UsageError, in_words, unknown

_PUBLISHED: tuple[type[MapMetric], ...] = (
    FaithfulnessCorrelation,
    FaithfulnessEstimate,
    MonotonicityCorrelation,
    PixelFlipping,
    RegionPerturbation,
    Insertion,
    Deletion,
    IROF,
    ROAD,
    Sufficiency,
    LocalLipschitz,
    MaxSensitivity,
    Continuity,
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
    Infidelity,
    Sparseness,
    Complexity,
    EffectiveComplexity,
)
_OTHERS: tuple[type[MapMetric], ...] = (RelevanceMass, RelevanceRank, PointingGame, ParameterRandomisation)

METRICS: Mapping[str, type[MapMetric]] = MappingProxyType({each.id: each for each in (*_PUBLISHED, *_OTHERS)})
"""All metrics: LATEC's twenty in the order of its tables, then those that need masks or other models."""


def _with_infidelity_at(position: int) -> tuple[str, ...]:
    rest = [each.id for each in _PUBLISHED if each is not Infidelity]
    return (*rest[:position], Infidelity.id, *rest[position:])


ORDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"published": _with_infidelity_at(16), "config": _with_infidelity_at(10)}
)
"""What LATEC's score arrays, which hold no names, mean by metric 0 to 19.

"published": of the notebooks that made the tables of the paper; "config": of arrays that its configurations make.
"""


_LATEC_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "pixel_flipping": (0.0, math.inf),  # areas over numbered steps
        "region_perturbation": (-math.inf, math.inf),
        "irof": (-math.inf, math.inf),
        "road": (0.0, 49.0),
        "infidelity": (0.0, math.inf),
        "effective_complexity": (0.0, math.inf),  # maps of zeros are left as they are
    }
)


def latec_range(id: str) -> tuple[float, float]:
    """Lowest and highest value of a metric in what LATEC releases, where some have another unit than here."""
    return _LATEC_RANGES.get(id, METRICS[id].range)


def make_metric(
    id: str, constants: Mapping[str, Any] = MappingProxyType({}), reading: Reading | None = None
) -> MapMetric:
    """The metric of this id in a reading of its definition, which may also stand among the constants.

    reading: "corrected", the default, or "latec": what LATEC's own code computes, which each metric's documentation
    says. Constants that are not given are the metric's own defaults, or LATEC's, by the modality of the inputs that the
    metric is called with.

    Raises UsageError for an unknown id or reading, for metrics that LATEC does not have in its reading, and for
    constants that the metric does not have or that have another type or an impossible value.
    """
    if id not in METRICS:
        raise unknown("attribution metric", id, METRICS)
    kind, given = METRICS[id], dict(constants)
    reading = _one_reading(id, reading, given.pop("reading", None))
    types = _constant_types(kind)
    for name in given:
        if name not in types:
            raise unknown(f"constant of {id}", name, types)
    checked = {name: _typed(f"{id}: constant {name}", types[name], value) for name, value in given.items()}
    if reading == "latec":
        defaults, varying = latec_constants(id), of_modality(id) - checked.keys()
        checked = {**defaults, **checked, "reading": reading, "by_modality": varying}
    try:
        return kind(**checked)
    except ValueError as error:
        raise UsageError(f"{id}: {error}") from error


def _one_reading(id: str, reading: Any, constant: Any) -> Reading:
    """The reading that is named beside the constants, among them, or both."""
    if None not in (reading, constant) and reading != constant:
        raise UsageError(f"{id}: its reading is {reading!r} and, among its constants, {constant!r}; name one.")
    chosen = constant if reading is None else reading
    if chosen is None or chosen == "corrected":
        return "corrected"
    if chosen != "latec":
        raise unknown("reading", str(chosen), get_args(Reading))
    if id not in ORDERS["published"]:
        raise UsageError(f"{id} has no reading 'latec': LATEC does not have this metric; leave the reading out.")
    return "latec"


def _constant_types(kind: type[MapMetric]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.names_of_constants() if name != "reading"}


def _typed(what: str, expected: Any, value: Any) -> Any:
    """The value, if it is of the expected type: whole numbers pass for real ones, lists for tuples, nothing else."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if isinstance(value, list):
        value = tuple(value)
    try:
        return TypeAdapter(expected, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        raise UsageError(f"{what}: {in_words(error.errors(include_url=False)[0])}.") from error
