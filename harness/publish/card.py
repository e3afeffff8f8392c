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
from harness.storage import content_id, write_text

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
    write_text(folder / CARD, f"---\n{_head(about)}\n---\n\n{_text(about)}")


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


def _text(about: About) -> str:
    return "\n".join(
        [
            f"# {TITLE}",
            "",
            SUMMARY,
            "",
            "## Contents",
            "",
            "| configuration | rows | bytes |",
            "|---|---|---|",
            *(f"| `{name}` | {rows:,} | {about.bytes[name]:,} |" for name, rows in about.rows.items()),
            "",
            *_reading(about),
            "## Columns",
            "",
            *_columns("`scores`", SCORE_COLUMNS),
            *_columns("`maps-*`", MAP_COLUMNS),
            *_metrics(),
            *_origin(about),
        ]
    )


def _reading(about: About) -> list[str]:
    maps = next((name for name in about.rows if name != SCORES), None)
    repo = about.repo or "ORG/NAME"
    lines = ["## Reading", "", "```python", "import datasets", "import numpy as np", ""]
    lines += [f'scores = datasets.load_dataset("{repo}", "scores", split="train")'] if SCORES in about.rows else []
    if maps is not None:
        lines += [
            f'maps = datasets.load_dataset("{repo}", "{maps}", split="train")',
            "row = maps[0]",
            'values = np.frombuffer(row["map"], dtype="<f2").reshape(row["shape"]) * row["scale"]',
        ]
    return [
        *lines,
        "```",
        "",
        "A map and its scores are joined by protocol, dataset, model, method and observation. Maps are kept in half "
        "precision with a power of two beside them, so that a value loses at most 2^-11 of itself however small the map "
        "as a whole is; values below 2^-28 of a map's largest lose at most 2^-39 of that largest.",
        "",
    ]


def _columns(title: str, columns: Mapping[str, tuple[str, str]]) -> list[str]:
    named = {"list": "list of int32"}
    rows = [f"| `{name}` | {named.get(kind, kind)} | {what} |" for name, (kind, what) in columns.items()]
    return [f"{title}:", "", "| column | type | what |", "|---|---|---|", *rows, ""]


def _metrics() -> list[str]:
    rows = [
        f"| `{name}` | {metric.version} | {metric.criterion} | {metric.direction} | {metric.citation} |"
        for name, metric in METRICS.items()
    ]
    return ["## Metrics", "", "| id | version | criterion | better | source |", "|---|---|---|---|---|", *rows, ""]


def _origin(about: About) -> list[str]:
    made = [f"| {_made_from(facts)} |" for facts in about.sources]
    absent = [f"- {facts['method']}: {each}" for facts in about.sources for each in facts.get("missing", [])]
    return [
        "## Where it comes from",
        "",
        "`provenance.json` names every source with its hashes, and every file.",
        "",
        "| protocol | method | version | made from |",
        "|---|---|---|---|",
        *made,
        "",
        *(["Not there, because the method has no usable answer:", "", *absent, ""] if absent else []),
        "## Licence",
        "",
        *(f"- {protocol}: {terms}" for protocol, terms in about.licences),
        "",
        "## Citation",
        "",
        *(f"- {citation}" for citation in about.citations),
        "",
    ]


def _made_from(facts: Mapping[str, Any]) -> str:
    origin = f"run {facts['run'][:12]}" if "run" in facts else str(facts.get("kind", ""))
    cells = (facts.get("protocol", ""), facts.get("method", "all"), facts.get("method_version", ""), origin)
    return " | ".join(map(str, cells))
