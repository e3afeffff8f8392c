"""`croissant.json`: the data set described for machines, in MLCommons' Croissant 1.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.publish.card import SUMMARY, TITLE, About
from harness.publish.schema import SCHEMA_VERSION
from harness.storage import write_json

CROISSANT = "croissant.json"
_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "float64": "cr:Float64", "list": "cr:Int32", "binary": "sc:Text"}
"""Croissant has no type for bytes; readers hand the column on as it is."""

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(folder: Path, about: About) -> None:
    """Write the description. File sets are named relative to it, so that it holds here and on the Hub."""
    names = list(about.rows)
    write_json(
        folder / CROISSANT,
        {
            "@context": dict(_CONTEXT),
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": "meta-evaluation",
            "alternateName": TITLE,
            "description": SUMMARY,
            "license": _licence(about),
            "citeAs": "; ".join(about.citations),
            "url": f"https://huggingface.co/datasets/{about.repo}" if about.repo else f"urn:sha256:{about.digest}",
            "version": f"{SCHEMA_VERSION}.0.0",
            "distribution": [_files(about, name) for name in names],
            "recordSet": [_records(about, name) for name in names],
        },
    )


def _files(about: About, config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"{about.folders[config]}/*.parquet",
    }


def _records(about: About, config: str) -> dict[str, Any]:
    fields = [_field(config, name, kind, what) for name, (kind, what) in about.columns(config).items()]
    described = f"{about.rows[config]} rows"
    return {"@type": "cr:RecordSet", "@id": config, "name": config, "description": described, "field": fields}


def _field(config: str, name: str, kind: str, what: str) -> dict[str, Any]:
    source = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": name}}
    field = {"@type": "cr:Field", "@id": f"{config}/{name}", "name": name, "description": what}
    return {**field, "dataType": _TYPES[kind], "source": source, **({"repeated": True} if kind == "list" else {})}


def _licence(about: About) -> str:
    return about.licence if about.licence != "other" else "; ".join(terms for _, terms in about.licences)
