"""Benchmarks made for files that are browsed as they lie: each set is a study whose failures are wrong predictions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.data.catalog import LoadedBenchmark
from harness.data.columns import TableFile, open_columns
from harness.data.fdshifts import read_fdshifts
from harness.data.tables import RESULTS, are_probabilities
from harness.reports.browse.samples import TableNames
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError, first_problem
from harness.storage import TABLE_SUFFIXES, content_id

if TYPE_CHECKING:
    import numpy as np

_TABLES = (*TABLE_SUFFIXES, ".npz")
_TRAINING, _VALIDATION = ("train", "training"), ("val", "valid", "validation")
VALUES = {
    "logits": "logits", "probabilities": "probabilities", "softmax": "probabilities", "probs": "probabilities",
    "predictions": None, "outputs": None,
}  # fmt: skip
"""Name of a matrix (n, classes) -> what it holds; None: rows that sum to 1 are probabilities, others logits."""
MEMBERS = {"mc_logits": "logits", "mc_probabilities": "probabilities", "members": None}
"""The same of outputs of several passes (members, n, classes)."""
LABELS = ("labels", "label", "ground_truth", "targets", "target", "y_true")
CONFIDENCES = ("confidence", "head_confidence")
FEATURES = "features"
_LONGEST = 60  # letters of an id, which may have 80: a number may follow
_UNSURE = tuple(name for known in (VALUES, MEMBERS) for name, kind in known.items() if kind is None)


def protocol_of(path: Path) -> tuple[LoadedBenchmark, TableNames]:
    """Of a result folder of FD-Shifts (or its `test_results`) or a table (`.csv`, `.parquet`, `.npz`): of results, with
    the columns label, prediction and confidence, or of outputs, with labels and logits or probabilities. With it, what
    the table calls its sets, in the column `set`, and its samples.

    Raises UsageError for anything else, IntegrityError for damaged files.
    """
    if path.is_dir():
        source, names, naming = *_folder(path), TableNames()
    elif path.is_file() and path.suffix.lower() in _TABLES:
        source, names, naming = _table(path)
    elif path.exists():
        raise UsageError(
            f"{path} is no table; browse opens {', '.join(_TABLES)}, benchmarks of your own (.toml), runs, and result "
            "folders of FD-Shifts."
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
    loaded = LoadedBenchmark(benchmark, content_id(benchmark.canonical()), path.resolve().parent / "benchmark.toml")
    return loaded, naming


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


def _table(path: Path) -> tuple[dict[str, Any], dict[str, str], TableNames]:
    file = open_columns(path)
    model = {"id": "model", "table": {"path": path.name}}
    source: dict[str, Any] = {"models": [model], **_columns(path, file)}
    if "set" not in file.names:
        source["sets"] = {"all": {"rows": "all"}}
        return source, {"all": "iid"}, TableNames()
    texts = file.texts("set")
    names = _slugs(each for each in texts.unique().to_pylist() if each)
    if not names:
        raise UsageError(f"{path}: the column set is empty in every row; name sets there, or leave the column out.")
    source["sets"] = {slug: {"named": name} for slug, name in names.items()}
    codes = texts.to_numpy(zero_copy_only=False)
    rows = {slug: (codes == name).nonzero()[0] for slug, name in names.items()}
    return source, _kinds(list(names)), TableNames(names, rows)


def _columns(path: Path, file: TableFile) -> dict[str, Any]:
    """The fields of the source that say which columns hold what. Raises UsageError where too few are there."""
    if all(each in file.names for each in RESULTS):
        return {"kind": "results"}
    values, labels = _found(file, VALUES, 2), next((each for each in LABELS if each in file.names), None)
    if values is None or labels is None:
        raise UsageError(
            f"{path} has the columns {', '.join(file.names)}; browse looks for {', '.join(RESULTS)}, or for labels "
            f"({', '.join(LABELS)}) and a matrix of outputs ({', '.join(VALUES)}; in .csv and .parquet also logits_0, "
            "logits_1, …). Rename them, or name the benchmark file that says which columns hold what: harness browse "
            "my_benchmark.toml."
        )
    found: dict[str, Any] = {"kind": "table", "holds": _kind(file, values, VALUES), "values": values, "labels": labels}
    if FEATURES in file.names or f"{FEATURES}_0" in file.names:
        found["features"] = FEATURES
    if (members := _found(file, MEMBERS, 3)) is not None:
        found[f"mc_{_kind(file, members, MEMBERS)}"] = members
    offered = next((each for each in CONFIDENCES if each in file.names), None)
    return {**found, **({"head_confidence": offered} if offered else {})}


def _found(file: TableFile, known: Iterable[str], axes: int) -> str | None:
    """The first of the known names that holds an array of so many axes; of one that says what it holds, the reader of
    tables checks the axes."""
    for name in known:
        if f"{name}_0" in file.names and name not in file.names:
            return name
        if name in file.names and (name not in _UNSURE or file.numbers(name).ndim == axes):
            return name
    return None


def _kind(file: TableFile, name: str, known: Mapping[str, str | None]) -> str:
    return known[name] or ("probabilities" if are_probabilities(file.numbers(name)) else "logits")


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
        slug = plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower())[:_LONGEST].strip("-._") or "set"
        while slug in found:
            slug = f"{plain}-{len(found)}"
        found[slug] = name
    return found
