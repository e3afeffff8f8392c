"""One good submission, made by a real run in a checkout in miniature, and ways to break it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from harness.boards.gate import Report, validate, validate_changed
from harness.boards.gate.revision import FileChange
from harness.boards.sources import share_source
from harness.boards.submissions import read_about
from harness.spec.result import RunDocument
from harness.storage import bytes_id, content_id, file_id, read_arrays, write_arrays, write_json
from harness.tracks.summary import records, summarize
from tests.boards.workshop import store, write_workshop
from tests.cli.support import MARGIN

COPY = MARGIN.replace("def margin", "def copied")


def write_template(root: Path) -> None:
    """`leaderboards/toy/1`, and submissions of the method `margin` and of the baselines `oracle` and `msr` to it.

    The source of `msr` is shared, the others have their `method.py`.
    """
    write_workshop(root, '"augrc", "failure_auroc"')
    for source, name in ((MARGIN, "margin"), ("", "oracle"), ("", "msr")):
        folder = store(root, source, name)
    share_source(folder)


def said(folder: Path, changes: Sequence[FileChange] = ()) -> list[str]:
    """All findings, one line each."""
    report = validate(folder, changes=changes)
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

    candidate = Candidate(folder)
    found = {unit.label: records(each) for unit, each in candidate.measured.items()}
    summary = summarize(candidate.track, candidate.measured)

    def change(document: dict[str, Any]) -> None:
        for unit in document["units"]:
            of_unit = found[f"{unit['study']} · {unit['model']}"]
            unit["records"] = [record.model_dump(mode="json") for record in of_unit]
        document["summary"] = [row.model_dump(mode="json") for row in summary]

    change_run(folder, change)


def claim(folder: Path, source: str, **fields: object) -> None:
    """Another `method.py`, to which hashes and ids are made to fit."""
    (folder / "method.py").write_text(source)
    forged = {"source_sha256": bytes_id(source.encode()), **fields}
    change_method(folder, **forged)
    change_run(folder, lambda document: document["spec"]["method"].update(forged), new_id=True)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def place(repository: Path) -> Path:
    return Path(shutil.copytree(repository.parent / "margin", repository / "submissions" / "toy@1" / "margin"))


def lines(reports: list[Report]) -> list[str]:
    return [f"{Path(r.folder).name}: {f.severity} {f.rule}: {f.sentence}" for r in reports for f in r.findings]


def changed(repository: Path) -> list[Report]:
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", "request")
    return list(validate_changed(repository, "main"))
