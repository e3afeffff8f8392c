"""The card of the meta-evaluation data set: what it holds, where it comes from, and how it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.metrics.attribution.registry import METRICS
from harness.publish.schema import MAP_COLUMNS, SCORE_COLUMNS, SCORES, features
from harness.publish.shards import Book
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
    """What card and Croissant description tell. `licence` as the Hub names it; `repo` is None before it is published.

    rows, bytes, unpacked (bytes in memory), folders: by configuration. digest: of all files.
    """

    licence: str
    sources: Sequence[Mapping[str, Any]]
    rows: Mapping[str, int]
    bytes: Mapping[str, int]
    unpacked: Mapping[str, int]
    folders: Mapping[str, str]
    digest: str
    repo: str | None = None

    @classmethod
    def of(cls, book: Book, repo: str | None = None) -> About:
        rows: Counter[str] = Counter()
        size: Counter[str] = Counter()
        unpacked: Counter[str] = Counter()
        shards = sorted(book.shards, key=lambda shard: shard.path)
        for shard in shards:
            rows[shard.config] += shard.rows
            size[shard.config] += shard.bytes
            unpacked[shard.config] += shard.unpacked
        return cls(
            licence=book.settings["licence"],
            sources=book.sources,
            rows=dict(sorted(rows.items())),
            bytes=dict(size),
            unpacked=dict(unpacked),
            folders={shard.config: shard.path.rpartition("/")[0] for shard in shards},
            digest=content_id([[shard.path, shard.sha256] for shard in shards]),
            repo=repo,
        )

    @property
    def citations(self) -> list[str]:
        return list(dict.fromkeys(text for facts in self.sources for text in facts["citations"]))

    @property
    def licences(self) -> list[tuple[str, str]]:
        """Protocol and the terms of what it rests on."""
        return list(dict.fromkeys((facts["protocol"], facts["licence"] or "not stated") for facts in self.sources))

    def columns(self, config: str) -> Mapping[str, tuple[str, str]]:
        return SCORE_COLUMNS if config == SCORES else MAP_COLUMNS


def write_card(folder: Path, about: About) -> None:
    """Write `README.md`, whose head is what the Hub and `datasets` read."""
    maps = [name for name in about.rows if name != SCORES]
    text = fill_template(
        Path(__file__).with_name("templates") / "meta_evaluation.md",
        head=_head(about),
        title=TITLE,
        summary=SUMMARY,
        about=about,
        scores=SCORES,
        maps=maps,
        tables={"`scores`": SCORE_COLUMNS, "`maps-*`": MAP_COLUMNS},
        metrics=METRICS,
    )
    write_text(folder / CARD, text)


def _head(about: About) -> str:
    from huggingface_hub import DatasetCardData

    configs = [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": f"{about.folders[name]}/*.parquet"}],
            **({"default": True} if name == SCORES else {}),
        }
        for name in about.rows
    ]
    info = [
        {
            "config_name": name,
            "features": features(about.columns(name))._to_yaml_list(),
            "splits": [{"name": "train", "num_bytes": about.unpacked[name], "num_examples": about.rows[name]}],
            "download_size": about.bytes[name],
            "dataset_size": about.unpacked[name],
        }
        for name in about.rows
    ]
    more: dict[str, Any] = {"license_name": "see-card", "license_link": "README.md"} if about.licence == "other" else {}
    head = DatasetCardData(
        pretty_name=TITLE,
        license=about.licence,
        tags=["explainability", "attribution", "meta-evaluation", "benchmark"],
        size_categories=[next((name for most, name in _LARGE if sum(about.rows.values()) < most), "n>1T")],
        configs=configs,
        dataset_info=info,
        **more,
    )
    return str(head.to_yaml()).strip()
