"""Mutated submissions: the gate ends, without a traceback, and accepts nothing whose claims are not what its files give.

Of each kind the smallest standing submission that can be judged here is mutated, as a stranger would send it in, and one
made for the purpose, whose numbers are computed here from their definitions.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.boards.gate import validate
from harness.boards.members import unit_key
from harness.data import catalog
from harness.data.catalog import bundled_folder, find_protocol, load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.metrics import augrc
from harness.spec.method import read_method
from harness.spec.result import RunDocument
from harness.storage import array_id
from harness.tracks.summary import records, summarize
from tests.boards.support import wrong

from .mutations import MUTATIONS, parsed

MOST_SECONDS = 20
"""Of processor time for one case: what takes longer hangs."""
TOY = Path("toy@1", "margin")
TASKS = ("confidence", "query", "attribution", "attribution-metric")


@dataclass(frozen=True)
class Subject:
    """A checkout in miniature, and the submission in it that is mutated."""

    checkout: Path
    name: Path

    @property
    def folder(self) -> Path:
        return self.checkout / "submissions" / self.name


@pytest.fixture(scope="session")
def subjects(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    found = {"toy": Subject(template, TOY)}
    for task in TASKS:
        found[task] = _standing(task, tmp_path_factory.mktemp(task))
    return found


def _standing(task: str, root: Path) -> Subject:
    """The smallest accepted submission of a task, with a source of its own and two rows beside it."""
    for name in ("leaderboards", "datasets"):
        (root / name).symlink_to(bundled_folder(name))
    for folder in sorted(bundled_folder("submissions").glob("*/*"), key=_size):
        if folder.name == "sources" or parsed(folder)["method"]["reference"]:
            continue
        if find_protocol(folder.parent.name).benchmark.task != task:
            continue
        rows = [
            each for each in sorted(folder.parent.iterdir(), key=_size) if each.name not in ("sources", folder.name)
        ]
        place = root / "submissions" / folder.parent.name
        for each in (folder, *rows[:2], folder.parent / "sources"):
            shutil.copytree(each, place / each.name)
        subject = Subject(root, Path(*folder.parts[-2:]))
        shared = place / "sources" / f"{parsed(folder)['method']['source_sha256']}.py"
        shared.rename(subject.folder / "method.py")
        with _in_checkout(root, root / "cache"):
            if validate(subject.folder).accepted:
                return subject
        shutil.rmtree(root / "submissions")
    pytest.skip(f"no submission of the task {task} can be judged here")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _in_checkout(checkout: Path, cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_PACKAGE", checkout / "harness")
        patch.setenv("HARNESS_CACHE", str(cache))
        yield


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still judging after {seconds} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(subject: Subject, seed: int, count: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        mutated = Subject(Path(folder), subject.name)
        for name in ("leaderboards", "datasets"):
            (mutated.checkout / name).symlink_to(subject.checkout / name)
        shutil.copytree(subject.folder.parent, mutated.folder.parent)
        with _in_checkout(mutated.checkout, subject.checkout.with_name(f"{subject.checkout.name}-cache")):
            for _ in range(count):
                rng.choice(MUTATIONS)(mutated.folder, rng)
            with no_longer_than(MOST_SECONDS):
                report = validate(mutated.folder)
            if report.accepted:
                assert_claims_follow(mutated.folder, subject.folder)


def assert_claims_follow(folder: Path, honest: Path) -> None:
    """What an accepted submission claims is what its files give, and what the honest one claims where these are the same."""
    about, document = parsed(folder), _document(folder)
    source = (folder / "method.py").read_bytes()
    assert hashlib.sha256(source).hexdigest() == about["method"]["source_sha256"]
    assert f'version="{about["method"]["version"]}"'.encode() in source
    assert re.search(rf"^(def|class) {about['method']['symbol']}\b".encode(), source, re.MULTILINE)
    assert about["method"]["name"] == folder.name == document["spec"]["method"]["name"]
    assert about["benchmark"] == folder.parent.name == document["spec"]["benchmark"]
    assert hashlib.sha256((folder / "outputs.npz").read_bytes()).hexdigest() == about["outputs"]["outputs.npz"]
    arrays, honest_arrays = _arrays(folder), _arrays(honest)
    known = {unit["unit"]: unit for unit in _document(honest)["units"]}
    assert sorted(unit["unit"] for unit in document["units"]) == sorted(known)
    for unit in document["units"]:
        prefix = f"{unit['model']}--{unit['study']}--"
        own, theirs = (
            {name: array_id(array) for name, array in each.items() if name.startswith(prefix)}
            for each in (arrays, honest_arrays)
        )
        if own == theirs:
            _assert_same(unit["records"], known[unit["unit"]]["records"])
    if folder.parent.name == "toy@1":
        _assert_computed_otherwise(folder, document, arrays)
    else:
        _assert_computed_anew(document, arrays)


def _document(folder: Path) -> dict:
    """`run.json` with every field: what has a default may be left out."""
    return RunDocument.model_validate_json((folder / "run.json").read_bytes()).model_dump(mode="json")


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO((folder / "outputs.npz").read_bytes()), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _assert_same(claimed: list[dict[str, object]], found: list[dict[str, object]]) -> None:
    """Numbers but for rounding, all else as it is."""

    def sure(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return sorted(
            (
                {
                    name: pytest.approx(each, rel=1e-8, abs=1e-11) if isinstance(each, float) else each
                    for name, each in row.items()
                }
                for row in rows
            ),
            key=lambda row: str(row["metric"]),
        )

    assert sorted(claimed, key=lambda row: str(row["metric"])) == sure(found)


def _assert_computed_anew(document: dict, arrays: dict[str, np.ndarray]) -> None:
    """Records of units and the summary, by the engine from the arrays as numpy reads them."""
    spec = document["spec"]
    protocol, method = find_protocol(spec["benchmark"]), read_method(spec["method"])
    track = open_track(protocol, method, "cpu")
    units = plan_units(protocol, track, method, PlanRequest(Path(), spec["seed"], spec["device"]))
    measured, inapplicable = {}, []
    for unit in document["units"]:
        planned = units[unit["unit"]]
        own = {
            name.rpartition("--")[2]: array
            for name, array in arrays.items()
            if name.startswith(f"{unit_key(planned)}--")
        }
        if unit["status"] == "not-applicable":
            inapplicable.append(planned)
            assert not own
        else:
            measured[planned] = track.measure(planned, own)
            reported = track.as_reported(planned, own)
            claimed = [record for record in unit["records"] if record["metric"] not in reported]
            found = [
                record.model_dump(mode="json") for record in records(measured[planned]) if record.metric not in reported
            ]
            _assert_same(claimed, found)
    rows = [row.model_dump(mode="json") for row in summarize(track, measured, tuple(inapplicable))]
    assert len(rows) == len(document["summary"])
    for study in {row["study"] for row in rows}:
        _assert_same(*([row for row in each if row["study"] == study] for each in (document["summary"], rows)))


def _assert_computed_otherwise(folder: Path, document: dict, arrays: dict[str, np.ndarray]) -> None:
    """All that the toy's submission claims, from the definitions of its metrics."""
    assert len(arrays) == len(document["units"]) == 4
    protocol = load_protocol(folder.parents[2] / "leaderboards" / "toy" / "1" / "benchmark.toml")
    values: dict[tuple[str, str], list[float]] = {}
    for unit in document["units"]:
        confidence = arrays[f"{unit['model']}--{unit['study']}--confidence"]
        residual = wrong(protocol, unit["model"], unit["study"])
        claimed = {record["metric"]: record["value"] for record in unit["records"]}
        assert claimed["failure_auroc"] == pytest.approx(pairs_in_order(confidence, residual), rel=1e-9)
        assert claimed["augrc"] == pytest.approx(augrc(confidence, residual), rel=1e-9)
        for metric, value in claimed.items():
            values.setdefault((unit["study"], metric), []).append(value)
    for row in document["summary"]:
        assert row["value"] == pytest.approx(np.mean(values[row["study"], row["metric"]]), rel=1e-9)


def pairs_in_order(confidence: np.ndarray, residual: np.ndarray) -> float:
    """Failure AUROC from its definition: right before wrong, ties count half."""
    exact = confidence.astype(np.float64)
    right, wrongly = exact[residual == 0], exact[residual == 1]
    return float(np.mean(np.sign(right[:, None] - wrongly[None]) / 2 + 0.5))


CASES = given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
@CASES
def test_mutated_submissions(template: Path, seed: int, count: int) -> None:
    judge(Subject(template, TOY), seed, count)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=6, deadline=None, suppress_health_check=HEALTH)
@CASES
def test_mutated_standing_submissions(subjects: dict[str, Subject], task: str, seed: int, count: int) -> None:
    judge(subjects[task], seed, count)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("task", ["toy", *TASKS])
@settings(max_examples=500, deadline=None, suppress_health_check=HEALTH)
@CASES
def test_many_mutated_submissions(subjects: dict[str, Subject], task: str, seed: int, count: int) -> None:
    judge(subjects[task], seed, count)


def test_the_check_of_the_accepted_finds_forged_claims(template: Path, tmp_path: Path) -> None:
    subject = Subject(template, TOY)
    assert_claims_follow(subject.folder, subject.folder)
    folder = Subject(Path(shutil.copytree(template, tmp_path / "checkout")), TOY).folder
    document = json.loads((folder / "run.json").read_text())
    record = next(each for each in document["units"][2]["records"] if each["metric"] == "augrc")
    record["value"] *= 1 + 1e-6
    (folder / "run.json").write_text(json.dumps(document))
    with pytest.raises(AssertionError):
        assert_claims_follow(folder, folder)


@pytest.mark.parametrize("task", TASKS)
def test_the_check_of_the_accepted_finds_forged_claims_of_standing_ones(
    subjects: dict[str, Subject], tmp_path: Path, task: str
) -> None:
    subject = subjects[task]
    with _in_checkout(subject.checkout, tmp_path / "cache"):
        assert_claims_follow(subject.folder, subject.folder)
        folder = Path(shutil.copytree(subject.folder.parent, tmp_path / subject.name.parts[0])) / subject.name.name
        document = json.loads((folder / "run.json").read_text())
        row = next(each for each in document["summary"] if each["value"])
        row["value"] *= 1 + 1e-6
        (folder / "run.json").write_text(json.dumps(document))
        with pytest.raises(AssertionError):
            assert_claims_follow(folder, subject.folder)
