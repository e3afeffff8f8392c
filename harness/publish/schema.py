"""The one schema of the meta-evaluation data set: a table of maps for each data set that was explained, one of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1
SCORES = "scores"

_IDS = {
    "protocol": ("string", "benchmark and version under which it was made"),
    "modality": ("string", "image, volume or point-cloud"),
    "dataset": ("string", "what was explained"),
    "model": ("string", "the network that was explained"),
    "method": ("string", "the XAI method"),
    "observation": ("string", "id of the observation in its data set, the same for all models and methods"),
}
MAP_COLUMNS: Mapping[str, tuple[str, str]] = {
    **_IDS,
    "target": ("int64", "class that the map speaks about; missing where it is not recorded"),
    "prediction": ("int64", "class that the network predicts; missing where it is not recorded"),
    "shape": ("list", "shape of the map: 1 or as many channels as the input, then its spatial axes"),
    "scale": ("float64", "a power of two: map = scale * values; missing where the map is"),
    "map": (
        "binary",
        "values: little-endian float16 in C order; missing where a method gave numbers that are not finite",
    ),
}
SCORE_COLUMNS: Mapping[str, tuple[str, str]] = {
    **_IDS,
    "metric": ("string", "id of the metric"),
    "metric_version": ("string", "version of the metric's definition"),
    "direction": ("string", "which scores are better: higher or lower"),
    "value": ("float64", "the score; missing where the metric has no meaning for the observation"),
}
"""Column -> type and meaning. `list` is a list of int32."""


@dataclass(frozen=True, order=True)
class MapConfig:
    """The maps of one data set: a configuration that is loaded by its name."""

    modality: str
    dataset: str

    @property
    def name(self) -> str:
        return f"maps-{self.modality}-{self.dataset}"

    @property
    def folder(self) -> str:
        return f"data/maps/{self.modality}/{self.dataset}"


SCORES_FOLDER = "data/scores"


def columns_of(config: str) -> Mapping[str, tuple[str, str]]:
    """The columns of a configuration: that of the scores, or one of maps."""
    return SCORE_COLUMNS if config == SCORES else MAP_COLUMNS


def features(columns: Mapping[str, tuple[str, str]]) -> Any:
    """The columns as `datasets.Features`."""
    # mypy takes the folder `datasets/` of a checkout for the package.
    from datasets import Features, Value  # type: ignore[attr-defined]

    return Features({name: [Value("int32")] if kind == "list" else Value(kind) for name, (kind, _) in columns.items()})
