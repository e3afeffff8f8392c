"""Mutated submissions: the gate ends, without a traceback, and accepts nothing whose claims are not what its files give."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.boards.gate import validate
from harness.data import catalog
from harness.data.catalog import load_protocol
from harness.metrics import augrc
from harness.spec.result import RunDocument
from harness.storage import content_id
from tests.boards.gate.support import claim_what_outputs_give
from tests.boards.support import wrong

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_SECONDS = 20
"""Of processor time for one case: what takes longer hangs."""
FILES = ("submission.toml", "run.json", "outputs.npz", "method.py")
NASTY: tuple[Any, ...] = (
    *("", "=1+1", "<script>", "\u202e", "\x00", "../../x", "a" * 5_000, "msr", "toy@2", "\ud7ff", "NaN", "1e999"),
    *(0, -1, 2**63, 10**400, 0.5, -0.0, 1e308, True, None, [], {}, [[]], {"a": {"b": 1}}),
)


def margin(checkout: Path) -> Path:
    return checkout / "submissions" / "toy@1" / "margin"


def parsed(folder: Path) -> dict[str, Any]:
    """`submission.toml`, or nothing where a mutation before has spoilt it."""
    try:
        return tomllib.loads((folder / "submission.toml").read_text())
    except (ValueError, OSError):
        return {}


def leaves(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*place, key))


def put(data: Any, rng: random.Random) -> None:
    """Another value somewhere, or one less."""
    places = [place for place in leaves(data) if place]
    if not places:
        return
    *way, last = rng.choice(places)
    for key in way:
        data = data[key]
    old = data[last]
    if rng.random() < 0.15:
        del data[last]
    elif isinstance(old, float) and rng.random() < 0.6:
        data[last] = old * rng.choice([0.999, 1 + 1e-6, 1 + 1e-12, -1, 2])
    else:
        data[last] = rng.choice(NASTY)


def mutate_bytes(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(FILES)
    content = bytearray(path.read_bytes()) if path.is_file() else bytearray()
    start = rng.randrange(len(content) + 1)
    stop = min(len(content), start + rng.choice([1, 1, 8, 200]))
    content[start:stop] = rng.choice([b"", b"\x00", b'"', b"a.a.a=1\n", content[start:stop] * 2, rng.randbytes(9)])
    path.write_bytes(content)


def mutate_about(folder: Path, rng: random.Random) -> None:
    fields = parsed(folder)
    put(fields, rng)
    with suppress(TypeError, ValueError):  # what TOML cannot hold
        (folder / "submission.toml").write_text(tomli_w.dumps(fields))


def mutate_run(folder: Path, rng: random.Random) -> None:
    """Sometimes sealed anew, as a forger would."""
    with suppress(ValueError, OSError):
        document = json.loads((folder / "run.json").read_text())
        put(document, rng)
        if rng.random() < 0.7:
            with suppress(Exception):
                document["id"] = content_id(document["spec"]) if rng.random() < 0.3 else document["id"]
                document["seal"] = content_id(RunDocument.model_validate(document).sealed_content)
        (folder / "run.json").write_text(json.dumps(document))


def mutate_arrays(folder: Path, rng: random.Random) -> None:
    """Other outputs, mostly with the hash that fits, and sometimes with claims that fit too."""
    path = folder / "outputs.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError):
        return
    if not arrays:
        return
    name = rng.choice(sorted(arrays))
    change: Callable[[np.ndarray], np.ndarray] = rng.choice(
        [
            lambda array: -array,
            lambda array: array * np.float32(1.5),
            lambda array: array[::-1].copy(),
            lambda array: array[:-1],
            lambda array: array.astype(rng.choice(["f8", "f2", "i8", "U8", ">f4", "c8"])),
            lambda array: np.full_like(array, rng.choice([np.nan, np.inf, 0])),
            lambda array: array.reshape(1, -1),
            lambda array: np.roll(array, 1),
        ]
    )
    with suppress(ValueError, TypeError, IndexError):
        arrays[name] = change(arrays[name])
    if rng.random() < 0.2:
        arrays[rng.choice(["x", "one--iid--other", "one--iid", "--", "two--iid--confidence"])] = arrays.pop(name)
    np.savez(path, **arrays)
    if rng.random() < 0.8:
        fields = parsed(folder)
        fields["outputs"] = {"outputs.npz": hashlib.sha256(path.read_bytes()).hexdigest()}
        with suppress(TypeError, ValueError):
            (folder / "submission.toml").write_text(tomli_w.dumps(fields))
    if rng.random() < 0.4:
        with suppress(Exception):
            claim_what_outputs_give(folder)


def mutate_files(folder: Path, rng: random.Random) -> None:
    """Removed, added, renamed, emptied, or swapped with another row's."""
    path, other = folder / rng.choice(FILES), folder.parent / rng.choice(["msr", "oracle"])
    kind = rng.randrange(6)
    if kind == 0:
        path.unlink(missing_ok=True)
    elif kind == 1:
        (folder / rng.choice(["README.md", "maps.npz", "protocol.json", "reproduction.json", "x.py"])).write_text("x")
    elif kind == 2 and path.exists():
        path.rename(folder / rng.choice([*FILES, "other"]))
    elif kind == 3:
        path.write_bytes(b"")
    elif kind == 4 and (other / path.name).exists():
        shutil.copyfile(other / path.name, path)
    elif path.exists() and (other / path.name).exists():
        mine, theirs = path.read_bytes(), (other / path.name).read_bytes()
        path.write_bytes(theirs)
        (other / path.name).write_bytes(mine)


MUTATIONS = (mutate_bytes, mutate_about, mutate_run, mutate_arrays, mutate_files)


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


def pairs_in_order(confidence: np.ndarray, residual: np.ndarray) -> float:
    """Failure AUROC from its definition: right before wrong, ties count half."""
    exact = confidence.astype(np.float64)
    right, wrongly = exact[residual == 0], exact[residual == 1]
    return float(np.mean(np.sign(right[:, None] - wrongly[None]) / 2 + 0.5))


def assert_claims_follow(folder: Path) -> None:
    """All that an accepted submission claims, computed from its files by other means."""
    about, document = parsed(folder), json.loads((folder / "run.json").read_text())
    source = (folder / "method.py").read_bytes()
    assert hashlib.sha256(source).hexdigest() == about["method"]["source_sha256"]
    assert f'version="{about["method"]["version"]}"'.encode() in source
    assert f"def {about['method']['symbol']}(".encode() in source
    assert about["method"]["name"] == folder.name == document["spec"]["method"]["name"]
    assert hashlib.sha256((folder / "outputs.npz").read_bytes()).hexdigest() == about["outputs"]["outputs.npz"]
    with np.load(io.BytesIO((folder / "outputs.npz").read_bytes()), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
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


def judge(template: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        checkout = Path(shutil.copytree(template, Path(folder) / "checkout", ignore=shutil.ignore_patterns("runs")))
        patch.setattr(catalog, "_PACKAGE", checkout / "harness")
        patch.setenv("HARNESS_CACHE", str(template.with_name("fuzz-cache")))
        for _ in range(count):
            rng.choice(MUTATIONS)(margin(checkout), rng)
        with no_longer_than(MOST_SECONDS):
            report = validate(margin(checkout))
        if report.accepted:
            assert_claims_follow(margin(checkout))


CASES = given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
@CASES
def test_mutated_submissions(template: Path, seed: int, count: int) -> None:
    judge(template, seed, count)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@settings(max_examples=2000, deadline=None, suppress_health_check=HEALTH)
@CASES
def test_many_mutated_submissions(template: Path, seed: int, count: int) -> None:
    judge(template, seed, count)


def test_the_check_of_the_accepted_finds_forged_claims(template: Path, tmp_path: Path) -> None:
    checkout = Path(shutil.copytree(template, tmp_path / "checkout"))
    assert_claims_follow(margin(checkout))
    document = json.loads((margin(checkout) / "run.json").read_text())
    record = next(each for each in document["units"][2]["records"] if each["metric"] == "augrc")
    record["value"] *= 1 + 1e-6
    (margin(checkout) / "run.json").write_text(json.dumps(document))
    with pytest.raises(AssertionError):
        assert_claims_follow(margin(checkout))
