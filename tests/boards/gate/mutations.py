"""Ways to spoil a submission. Each takes its folder and what chance decides, and may come after others."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from harness.boards.gate.candidate import Candidate
from harness.boards.gate.claims import _whole_id
from harness.boards.members import unit_key
from harness.spec.result import RunDocument
from harness.storage import content_id
from tests.boards.gate.support import claim_what_outputs_give

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("submission.toml", "run.json", "outputs.npz", "method.py")
NASTY: tuple[Any, ...] = (
    *("", "=1+1", "<script>", "\u202e", "\x00", "../../x", "a" * 5_000, "msr", "toy@2", "\ud7ff", "NaN", "1e999"),
    *(0, -1, 2**63, 10**400, 0.5, -0.0, 1e308, True, None, [], {}, [[]], {"a": {"b": 1}}),
)


def parsed(folder: Path) -> dict[str, Any]:
    """`submission.toml`, or nothing where a mutation before has spoilt it."""
    try:
        return tomllib.loads((folder / "submission.toml").read_text())
    except (ValueError, OSError):
        return {}


def mutate_bytes(folder: Path, rng: random.Random) -> None:
    """Of any file; sometimes with the hash that fits, so that what was spoilt is read."""
    path = folder / rng.choice(FILES)
    path.write_bytes(spoilt(path.read_bytes() if path.is_file() else b"", rng))
    if rng.random() < 0.5:
        _name_files(folder)


def mutate_members(folder: Path, rng: random.Random) -> None:
    """Bytes of one array's file inside the outputs, half of the time of its first hundred, or the file's name."""
    members = _members(folder)
    if not members:
        return
    name = rng.choice(sorted(members))
    head = len(members[name]) if rng.random() < 0.5 else 100
    members[name] = spoilt(members[name][:head], rng) + members[name][head:]
    if rng.random() < 0.2:
        members[rng.choice(["../x.npy", "x", "a\x00.npy", "one--iid--confidence.npy", "--.npy"])] = members.pop(name)
    with zipfile.ZipFile(folder / "outputs.npz", "w") as archive:
        for each, content in members.items():
            method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
            archive.writestr(each, content, method)
    _name_files(folder)


def mutate_about(folder: Path, rng: random.Random) -> None:
    fields = parsed(folder)
    put(fields, rng)
    _write_about(folder, fields)


def mutate_run(folder: Path, rng: random.Random) -> None:
    """Anything or a claimed number; mostly sealed anew, as a forger would."""
    with suppress(ValueError, OSError, LookupError, TypeError):  # where a mutation before has spoilt it
        document = json.loads((folder / "run.json").read_text())
        put(document if rng.random() < 0.5 else _numbers(document, rng), rng)
        if rng.random() < 0.8:
            with suppress(Exception):
                document["id"] = content_id(document["spec"]) if rng.random() < 0.3 else document["id"]
                document["seal"] = content_id(RunDocument.model_validate(document).sealed_content)
        (folder / "run.json").write_text(json.dumps(document))


def mutate_arrays(folder: Path, rng: random.Random) -> None:
    """Other outputs, mostly with hashes that fit, and sometimes with claims that fit too."""
    path = folder / "outputs.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # numpy raises what its parsers raise
        return
    if not arrays:
        return
    name = rng.choice(sorted(arrays))
    change: Callable[[np.ndarray], np.ndarray] = rng.choice(
        [
            lambda array: -array,
            lambda array: array * np.float32(1.5),
            lambda array: array * (1 + 1e-6),
            lambda array: array[::-1].copy(),
            lambda array: array[:-1],
            lambda array: array.astype(rng.choice(["f8", "f2", "i8", "U8", ">f4", "c8"])),
            lambda array: np.full_like(array, rng.choice([np.nan, np.inf, 0])),
            lambda array: array.reshape(1, -1),
            lambda array: np.roll(array, 1),
        ]
    )
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        arrays[name] = change(arrays[name])
    if rng.random() < 0.2:
        arrays[rng.choice(["x", "one--iid--other", "one--iid", "--", "two--iid--confidence"])] = arrays.pop(name)
    np.savez(path, **arrays)
    if rng.random() < 0.8:
        _name_files(folder)
    if rng.random() < 0.5:
        with suppress(Exception):
            _claim_hashes(folder)
    if rng.random() < 0.5:
        with suppress(Exception):
            claim_what_outputs_give(folder)


def mutate_files(folder: Path, rng: random.Random) -> None:
    """Removed, added, renamed, emptied, or swapped with another row's."""
    others = sorted(path for path in folder.parent.iterdir() if path.name not in (folder.name, "sources"))
    path, other = folder / rng.choice(FILES), rng.choice(others)
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


MUTATIONS = (mutate_bytes, mutate_members, mutate_about, mutate_run, mutate_arrays, mutate_files)


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """Some bytes are others, or doubled, or gone."""
    start = rng.randrange(len(content) + 1)
    stop = min(len(content), start + rng.choice([1, 1, 8, 200]))
    old = content[start:stop]
    return content[:start] + rng.choice([b"", b"\x00", b'"', b"a.a.a=1\n", old * 2, rng.randbytes(9)]) + content[stop:]


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


def _numbers(document: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A row of the summary, or a record of a unit: what is claimed of a metric."""
    rows = document["summary"] if rng.random() < 0.5 else rng.choice(document["units"])["records"]
    row: dict[str, Any] = rng.choice(rows)
    return row


def _members(folder: Path) -> dict[str, bytes]:
    """Names and bytes of what the outputs hold; nothing where a mutation before has spoilt them."""
    try:
        with zipfile.ZipFile(folder / "outputs.npz") as archive:
            return {each: archive.read(each) for each in archive.namelist()}
    except Exception:  # zipfile raises what it likes
        return {}


def _name_files(folder: Path) -> None:
    """Write the hashes of the files that are there into `submission.toml`."""
    fields = parsed(folder)
    for name, place in (("outputs.npz", "outputs"), ("method.py", "method")):
        if (folder / name).is_file() and isinstance(fields.get(place), dict):
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            fields[place]["source_sha256" if place == "method" else name] = digest
    _write_about(folder, fields)


def _write_about(folder: Path, fields: dict[str, Any]) -> None:
    with suppress(TypeError, ValueError):  # what TOML cannot hold
        (folder / "submission.toml").write_text(tomli_w.dumps(fields))


def _claim_hashes(folder: Path) -> None:
    """Write into `run.json`, sealed anew, that the outputs that are there are those of the run."""
    candidate, document = Candidate(folder), json.loads((folder / "run.json").read_text())
    keys = {key: unit_key(unit) for key, unit in candidate.units.items()}
    for each in document["units"]:
        if keys[each["unit"]] in candidate.stored:
            each["outputs"] = _whole_id(candidate, keys[each["unit"]])
    document["seal"] = content_id(RunDocument.model_validate(document).sealed_content)
    (folder / "run.json").write_text(json.dumps(document))
