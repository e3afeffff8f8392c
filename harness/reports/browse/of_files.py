"""Benchmarks made for files that are browsed as they lie: each set is a study whose failures are wrong predictions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark
from harness.data.columns import open_columns
from harness.data.fdshifts import read_fdshifts
from harness.data.tables import RESULTS
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError, first_problem
from harness.storage import TABLE_SUFFIXES, content_id

if TYPE_CHECKING:
    import numpy as np

_TABLES = (*TABLE_SUFFIXES, ".npz")
_TRAINING, _VALIDATION = ("train", "training"), ("val", "valid", "validation")
_VALUES = {"logits": "logits", "probabilities": "probabilities", "softmax": "probabilities", "probs": "probabilities"}
"""Name of an array or column -> what it holds."""


def protocol_of(path: Path) -> LoadedBenchmark:
    """Of a result folder of FD-Shifts (or its `test_results`) or a table (`.csv`, `.parquet`, `.npz`): of results, with
    the columns label, prediction and confidence, or of outputs, with labels and logits or probabilities.

    Raises UsageError for anything else, IntegrityError for damaged files.
    """
    if path.is_dir():
        source, names = _folder(path)
    elif path.is_file() and path.suffix.lower() in _TABLES:
        source, names = _table(path)
    elif path.exists():
        raise UsageError(
            f"{path} is no table; browse opens {', '.join(_TABLES)}, runs, and result folders of FD-Shifts."
        )
    else:
        raise UsageError(f"{path} does not exist; name the folder of a run, a result folder of FD-Shifts, or a table.")
    fields = {
        "schema_version": 1, "task": "confidence", "id": "browsed", "version": 1, "title": str(path),
        "metrics": ["augrc", "aurc", "failure_auroc"], "source": source,
        "reference": {role: each for each, role in names.items() if role in ("train", "validation")},
        "studies": [_study(each, kind) for each, kind in names.items() if kind not in ("train", "validation")],
    }  # fmt: skip
    try:
        benchmark = ConfidenceBenchmark.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"{path} cannot be browsed as it lies: {first_problem(error, data=fields)}") from error
    return LoadedBenchmark(benchmark, content_id(benchmark.canonical()), path.resolve().parent / "benchmark.toml")


def _study(name: str, kind: str) -> dict[str, str]:
    """As FD-Shifts evaluates samples of new classes: beside the correct ones of the iid test set."""
    sets = {"samples": "iid", "unknown": name} if kind == "new-class" else {"samples": name}
    return {"id": name, "kind": kind, "group": name, **sets}


def _folder(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """FD-Shifts numbers its sets: validation, the iid test set, then shifts."""
    try:
        found = read_fdshifts(path)
    except UsageError as error:
        raise UsageError(
            f"{path} is neither a run (run.json is missing) nor a result folder of FD-Shifts: {error}"
        ) from error
    named = {0: "validation", 1: "iid"}
    kinds, sets = dict[str, str](), dict[str, int]()
    for index in sorted(found.sets):
        name = named.get(index, f"set-{index}")
        outputs = next(found.sets[index][each] for each in ("logits", "probabilities") if each in found.sets[index])
        sets[name] = index
        kinds[name] = named.get(index) or _shift_kind(found.labels[index], outputs.shape[1], 1 in found.sets)
    source: dict[str, Any] = {
        "kind": "fd-shifts", "sets": sets, "models": [{"id": "network", "folder": path.resolve().name}],
    }  # fmt: skip
    if found.train is not None:
        source["train"] = "train"
        kinds["train"] = "train"
    return source, kinds


def _shift_kind(labels: np.ndarray, classes: int, beside_iid: bool) -> str:
    """Labels of no class of the network say that a set is one of new classes."""
    outside = int(labels.min()) < 0 or int(labels.max()) >= classes
    return "new-class" if outside and beside_iid else "covariate-shift"


def _table(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    file = open_columns(path)
    model = {"id": "model", "table": {"path": path.name}}
    source: dict[str, Any] = {"models": [model], **_columns(path, file.names)}
    if "set" not in file.names:
        source["sets"] = {"all": {"rows": "all"}}
        return source, {"all": "iid"}
    texts = file.texts("set")
    names = _slugs(each for each in texts.unique().to_pylist() if each)
    if not names:
        raise UsageError(f"{path}: the column set is empty in every row; name sets there, or leave the column out.")
    source["sets"] = {slug: {"named": name} for slug, name in names.items()}
    return source, _kinds(list(names))


def _columns(path: Path, names: Iterable[str]) -> dict[str, Any]:
    names = list(names)
    if all(each in names for each in RESULTS):
        return {"kind": "results"}
    values = next((each for each in _VALUES if each in names or f"{each}_0" in names), None)
    labels = next((each for each in ("labels", "label", "target", "targets") if each in names), None)
    if values is None or labels is None:
        raise UsageError(
            f"{path} has the columns {', '.join(names)}; browse looks for {', '.join(RESULTS)}, or for labels and logits "
            "or probabilities (a matrix, or logits_0, logits_1, …)."
        )
    found = {"kind": "table", "holds": _VALUES[values], "values": values, "labels": labels}
    if "features" in names or "features_0" in names:
        found["features"] = "features"
    offered = next((each for each in ("confidence", "head_confidence") if each in names), None)
    return {**found, **({"head_confidence": offered} if offered else {})}


def _kinds(names: list[str]) -> dict[str, str]:
    """The first set that is neither for training nor for validation is the source, unless one is called iid or test."""
    kinds = {name: "train" for name in names if name in _TRAINING} | {
        name: "validation" for name in names if name in _VALIDATION
    }
    tested = [name for name in names if name not in kinds]
    source = next((name for name in ("iid", "test", "source") if name in tested), tested[0] if tested else "")
    return kinds | {name: "iid" if name == source else "covariate-shift" for name in tested}


def _slugs(names: Iterable[str]) -> Mapping[str, str]:
    """Name that is safe as an id -> name in the table."""
    found: dict[str, str] = {}
    for name in names:
        slug = plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "set"
        while slug in found:
            slug = f"{plain}-{len(found)}"
        found[slug] = name
    return found
