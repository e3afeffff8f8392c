"""One good submission, made by a real run in a checkout in miniature, and ways to break it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from harness.boards.gate import validate
from harness.boards.gate.revision import Revision
from harness.boards.members import unit_key
from harness.boards.submissions import read_about
from harness.execution.evaluate import Request, prepare, run
from harness.spec.result import RunDocument
from harness.spec.submission import Cost, Submission
from harness.storage import content_id, file_id, read_arrays, write_arrays, write_json
from harness.tracks.summary import records, summarize
from tests.cli.support import MARGIN

STUDIES, MODELS, SAMPLES = ("iid", "shift"), ("one", "two"), 200
BENCHMARK = """
schema_version = 1
id = "toy"
version = 1
title = "Toy"
task = "confidence"
metrics = ["augrc", "failure_auroc"]
[bootstrap]
replicates = 40
[source]
kind = "table"
holds = "logits"
values = "logits"
[source.sets]
iid = { named = "iid" }
shift = { named = "shift" }
[[studies]]
id = "iid"
kind = "iid"
samples = "iid"
group = "iid"
[[studies]]
id = "shift"
kind = "domain-shift"
samples = "shift"
group = "shift"
"""
MODEL = '[[source.models]]\nid = "{id}"\nseed = {seed}\ntable = {{ path = "{id}.npz", sha256 = "{sha256}" }}\n'
COPY = MARGIN.replace("def margin", "def copied")


def write_template(root: Path) -> None:
    """`leaderboards/toy/1`, and submissions of the method `margin` and of the baselines `oracle` and `msr` to it."""
    folder = root / "leaderboards" / "toy" / "1"
    folder.mkdir(parents=True)
    (root / "datasets").mkdir()
    text = BENCHMARK
    for seed, model in enumerate(MODELS):
        rng = np.random.default_rng(seed)
        labels = rng.integers(4, size=2 * SAMPLES)
        logits = rng.normal(size=(2 * SAMPLES, 4)) + np.repeat([2.0, 1.2], SAMPLES)[:, None] * np.eye(4)[labels]
        arrays = {"logits": logits, "labels": labels, "set": np.repeat(STUDIES, SAMPLES)}
        write_arrays(folder / f"{model}.npz", arrays)
        text += MODEL.format(id=model, seed=seed, sha256=file_id(folder / f"{model}.npz"))
    (folder / "benchmark.toml").write_text(text)
    (root / "margin.py").write_text(MARGIN)
    for method in (str(root / "margin.py"), "oracle", "msr"):
        submit(root, method)


def submit(root: Path, method: str) -> Path:
    """Evaluate a method and store what its run left."""
    benchmark = root / "leaderboards" / "toy" / "1" / "benchmark.toml"
    prepared = prepare(Request(method, str(benchmark), out=root / "runs", device="cpu", workers=1))
    result = run(prepared)
    assert result.complete
    spec = result.document.spec
    folder = root / "submissions" / "toy@1" / spec.method.name
    folder.mkdir(parents=True)
    outputs = {
        f"{unit_key(prepared.plan.units[key])}--{name}": array
        for key, answer in result.outputs().items()
        for name, array in answer.items()
    }
    write_arrays(folder / "outputs.npz", outputs)
    for name in ("method.py", "run.json"):
        shutil.copyfile(result.folder / name, folder / name)
    about = Submission(
        benchmark=spec.benchmark,
        benchmark_hash=spec.benchmark_hash,
        method=spec.method,
        run=result.document.id,
        outputs={"outputs.npz": file_id(folder / "outputs.npz")},
        authors=("A. Contributor",),
        licence="Apache-2.0",
        citation="none: it is known to everybody",
        training_data="none beyond the benchmark's",
        hardware="2 cores",
        cost=Cost(seconds=1.5),
        submitted=date(2026, 1, 1),
    )
    write_about(folder, about.model_dump(mode="json", exclude_none=True))
    # The checkout that these tests run in may be under change.
    change_run(folder, lambda document: document["environment"].update(git_dirty=False))
    return folder


def said(folder: Path, since: Revision | None = None) -> list[str]:
    """All findings, one line each."""
    report = validate(folder, since=since)
    return [f"{each.severity} {each.rule}: {each.sentence}" for each in report.findings]


def write_about(folder: Path, fields: dict[str, Any]) -> None:
    (folder / "submission.toml").write_text(tomli_w.dumps(fields))


def change_about(folder: Path, **fields: Any) -> None:
    """Overwrite fields of `submission.toml`; None leaves one out."""
    about = read_about(folder).model_dump(mode="json", exclude_none=True) | fields
    write_about(folder, {name: value for name, value in about.items() if value is not None})


def change_method(folder: Path, **fields: Any) -> None:
    """Overwrite fields of the method in `submission.toml`."""
    method = read_about(folder).model_dump(mode="json", exclude_none=True)["method"] | fields
    change_about(folder, method=method)


def change_run(folder: Path, change: Callable[[dict[str, Any]], object], *, new_id: bool = False) -> None:
    """Change `run.json` and seal it anew, as a forger would."""
    document = json.loads((folder / "run.json").read_text())
    change(document)
    run = RunDocument.model_validate(document)
    if new_id:
        run = run.model_copy(update={"id": content_id(run.spec.canonical())})
        change_about(folder, run=run.id)
    write_json(folder / "run.json", run.model_copy(update={"seal": content_id(run.sealed_content)}).canonical())


def unit_of(document: dict[str, Any], study: str, model: str) -> dict[str, Any]:
    """The claimed result of one unit, to be changed in place."""
    found: dict[str, Any] = next(u for u in document["units"] if (u["study"], u["model"]) == (study, model))
    return found


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    return read_arrays(folder / "outputs.npz")


def change_outputs(folder: Path, arrays: Mapping[str, np.ndarray], *, forge_hashes: bool = True) -> None:
    """Store other outputs, with hashes in `submission.toml` and `run.json` that fit them."""
    from harness.execution.answers import outputs_id

    write_arrays(folder / "outputs.npz", arrays)
    change_about(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})

    def change(document: dict[str, Any]) -> None:
        for unit in document["units"]:
            prefix = f"{unit['model']}--{unit['study']}--"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            unit["outputs"] = outputs_id(own) if own else unit["outputs"]

    if forge_hashes:
        change_run(folder, change)


def claim_what_outputs_give(folder: Path) -> None:
    """The perfect forger: claims in `run.json` are computed from the outputs that are there."""
    from harness.boards.gate.candidate import Candidate

    candidate = Candidate(folder, None)
    found = {unit.label: records(each) for unit, each in candidate.measured.items()}
    summary = summarize(candidate.track, candidate.measured)

    def change(document: dict[str, Any]) -> None:
        for unit in document["units"]:
            of_unit = found[f"{unit['study']} · {unit['model']}"]
            unit["records"] = [record.model_dump(mode="json") for record in of_unit]
        document["summary"] = [row.model_dump(mode="json") for row in summary]

    change_run(folder, change)
