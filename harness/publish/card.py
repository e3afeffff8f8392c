"""Cards of data sets on the Hub: a head that the Hub and `datasets` read, and a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.metrics.attribution.registry import METRICS
from harness.publish.schema import SCORES, columns_of, features
from harness.publish.shards import BuildRecord, ConfigSize
from harness.storage import content_id, fill_template, write_text

CARD = "README.md"
TITLE = "Meta-evaluation of explanations: attribution maps and their scores"
SUMMARY = (
    "Attribution maps of many XAI methods for many networks and data sets, and the score of every map by every metric, "
    "sample by sample: the material to judge the metrics themselves."
)
_LARGE = ((1 << 10, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


@dataclass(frozen=True)
class About:
    """What card and Croissant description tell of the meta-evaluation data set.

    licence: as the Hub names it. sizes: by configuration. digest: of all files. repo: None before it is published.
    """

    licence: str
    sources: Sequence[Mapping[str, Any]]
    sizes: Mapping[str, ConfigSize]
    digest: str
    repo: str | None = None

    @classmethod
    def of(cls, record: BuildRecord, repo: str | None = None) -> About:
        files = sorted((shard.path, shard.sha256) for shard in record.shards)
        return cls(record.settings["licence"], record.sources, record.sizes, content_id(files), repo)

    @property
    def citations(self) -> list[str]:
        return list(dict.fromkeys(text for facts in self.sources for text in facts["citations"]))

    @property
    def licences(self) -> list[tuple[str, str]]:
        """Protocol and the terms of what it rests on."""
        return list(dict.fromkeys((facts["protocol"], facts["licence"] or "not stated") for facts in self.sources))


def hub_card(template: str, head: Mapping[str, Any], folders: Mapping[str, str], default: str, **values: object) -> str:
    """A card. head: what the Hub shows. folders: where the files of each configuration lie; `default` is loaded unasked."""
    from huggingface_hub import DatasetCardData

    configs: list[dict[str, Any]] = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{folder}/*.parquet"}]}
        for name, folder in folders.items()
    ]
    for config in configs:
        config |= {"default": True} if config["config_name"] == default else {}
    ordered = {"tags": head["tags"], "configs": configs, **head}
    text = str(DatasetCardData(**ordered).to_yaml()).strip()
    return fill_template(Path(__file__).with_name("templates") / template, head=text, **values)


def write_card(folder: Path, about: About) -> None:
    """Write `README.md`."""
    page = hub_card(
        "meta_evaluation.md",
        _head(about),
        {name: size.folder for name, size in about.sizes.items()},
        default=SCORES,
        title=TITLE,
        summary=SUMMARY,
        about=about,
        scores=SCORES,
        maps=[name for name in about.sizes if name != SCORES],
        tables={f"`{name}`": columns_of(name) for name in (SCORES, "maps-*")},
        metrics=METRICS,
    )
    write_text(folder / CARD, page)


def _head(about: About) -> dict[str, Any]:
    rows = sum(size.rows for size in about.sizes.values())
    named = {"license_name": "see-card", "license_link": "README.md"} if about.licence == "other" else {}
    return {
        "pretty_name": TITLE,
        "license": about.licence,
        "tags": ["explainability", "attribution", "meta-evaluation", "benchmark"],
        "size_categories": [next((name for most, name in _LARGE if rows < most), "n>1T")],
        "dataset_info": [_info(name, size) for name, size in about.sizes.items()],
        **named,
    }


def _info(config: str, size: ConfigSize) -> dict[str, Any]:
    return {
        "config_name": config,
        "features": features(columns_of(config))._to_yaml_list(),
        "splits": [{"name": "train", "num_bytes": size.unpacked, "num_examples": size.rows}],
        "download_size": size.bytes,
        "dataset_size": size.unpacked,
    }
