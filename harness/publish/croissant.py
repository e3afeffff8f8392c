"""`croissant.json`: the data set described for machines, in MLCommons' Croissant 1.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.publish.card import SUMMARY, TITLE, About
from harness.publish.schema import SCHEMA_VERSION, columns_of
from harness.publish.shards import ConfigSize
from harness.storage import read_json, write_json

CROISSANT = "croissant.json"
_COMMON = Path(__file__).parent / "templates" / CROISSANT
"""What every description of this version begins with: its vocabulary and type."""
_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "float64": "cr:Float64", "list": "cr:Int32", "binary": "sc:Text"}
"""Croissant has no type for bytes; readers hand the column on as it is."""


def write_croissant(folder: Path, about: About) -> None:
    """Write the description. File sets are named relative to it, so that it holds here and on the Hub."""
    write_json(
        folder / CROISSANT,
        {
            **read_json(_COMMON),
            "name": "meta-evaluation",
            "alternateName": TITLE,
            "description": SUMMARY,
            "license": _licence(about),
            "citeAs": "; ".join(about.citations),
            "url": f"https://huggingface.co/datasets/{about.repo}" if about.repo else f"urn:sha256:{about.digest}",
            "version": f"{SCHEMA_VERSION}.0.0",
            "distribution": [_files(name, size) for name, size in about.sizes.items()],
            "recordSet": [_records(name, size) for name, size in about.sizes.items()],
        },
    )


def _files(config: str, size: ConfigSize) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"{size.folder}/*.parquet",
    }


def _records(config: str, size: ConfigSize) -> dict[str, Any]:
    fields = [_field(config, name, kind, what) for name, (kind, what) in columns_of(config).items()]
    described = f"{size.rows} rows"
    return {"@type": "cr:RecordSet", "@id": config, "name": config, "description": described, "field": fields}


def _field(config: str, name: str, kind: str, what: str) -> dict[str, Any]:
    source = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": name}}
    field = {"@type": "cr:Field", "@id": f"{config}/{name}", "name": name, "description": what}
    return {**field, "dataType": _TYPES[kind], "source": source, **({"repeated": True} if kind == "list" else {})}


def _licence(about: About) -> str:
    return about.licence if about.licence != "other" else "; ".join(terms for _, terms in about.licences)
