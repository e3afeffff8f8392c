"""Maps beside submissions: hashed always, carried where they are small, and recomputed from by the gate."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from harness.boards import maps as module
from harness.boards import submit as boards
from harness.boards.build import build_board
from harness.boards.gate import validate
from harness.boards.reproduce import Conditions, reproduce
from harness.boards.submissions import read_about
from harness.boards.submit import MapsRepository, Submitted, checkout_of, require_submittable
from harness.data import catalog
from harness.data.catalog import find_protocol
from harness.execution.evaluate import Listener
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.submission import Maps
from harness.storage import IntegrityError, array_id, content_id, file_id, read_arrays, write_arrays
from tests.boards.explained import FROM_MAPS, FROM_THE_METHOD, MAPS, write_explained
from tests.boards.gate.support import change_method, change_run, claim_what_outputs_give, said
from tests.boards.support import told as told_about
from tests.boards.workshop import TODAY, TOLD, own_checkout

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(root / "cache"))
        write_explained(root)
        yield root


@pytest.fixture
def checkout(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = own_checkout(template, tmp_path, monkeypatch)
    monkeypatch.setenv("HARNESS_CACHE", str(root / "cache"))
    return root


def submit(run: RunResult, checkout: Path, repository: MapsRepository | None = None) -> Submitted:
    return boards.submit(run, require_submittable(run, checkout_of(None)), TOLD, checkout, TODAY, repository)


@pytest.fixture
def good(run: RunResult, checkout: Path) -> Path:
    """A submission with its maps beside it."""
    return submit(run, checkout).folder


def the_maps(run: RunResult) -> np.ndarray:
    (outputs,) = run.outputs().values()
    return outputs["maps"]


def change_maps(folder: Path, change: Callable[[dict[str, np.ndarray]], object], **told: Any) -> None:
    """Store other maps, with the hash of their file; `told` overrides what else is said of them."""
    arrays = read_arrays(folder / "maps.npz")
    change(arrays)
    write_arrays(folder / "maps.npz", arrays)
    tell(folder, **told)


def tell(folder: Path, **told: Any) -> None:
    """Say of the file of maps what it is, and what else is wanted."""
    maps = read_about(folder).maps
    assert maps is not None
    path = folder / "maps.npz"
    facts = {"sha256": file_id(path), "bytes": path.stat().st_size} if path.exists() else {}
    told_about(folder, maps=maps.model_copy(update={**facts, **told}))


def test_small_maps_lie_beside_the_submission_and_prove_all_but_what_asks_the_method(
    run: RunResult, good: Path
) -> None:
    maps = read_about(good).maps
    assert maps is not None
    assert maps.inline
    assert maps.arrays == {MAPS: array_id(the_maps(run))}
    stored = read_arrays(good / "maps.npz")
    assert list(stored) == [MAPS]
    assert stored[MAPS].dtype == np.float32
    np.testing.assert_array_equal(stored[MAPS], the_maps(run))
    assert list(read_arrays(good / "outputs.npz")) == [
        f"small--test--score.{name}" for name in sorted((*FROM_MAPS, *FROM_THE_METHOD))
    ]
    report = validate(good)
    assert report.findings == ()
    assert report.as_reported == FROM_THE_METHOD
    (row,) = build_board(find_protocol("my-images@1")).rows
    assert row.as_reported == FROM_THE_METHOD


def test_larger_maps_leave_their_hashes(run: RunResult, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_INLINE", 1000)
    folder = submit(run, checkout).folder
    assert not (folder / "maps.npz").exists()
    assert read_about(folder).maps == Maps(arrays={MAPS: array_id(the_maps(run))})
    report = validate(folder)
    assert report.findings == ()
    assert report.as_reported == ("uniform_maps", *FROM_MAPS, *FROM_THE_METHOD)
    # Other hashes than those of the run do not pass.
    tell(folder, arrays={MAPS: "1" * 64})
    (finding,) = said(folder)
    assert finding.startswith("refused outputs: the outputs of test · small are not those that run.json")
    tell(folder, arrays={})
    assert said(folder) == [finding]
    tell(folder, arrays={MAPS: array_id(the_maps(run)), "other--test--maps": "1" * 64})
    assert said(folder) == ["refused outputs: submission.toml names maps of no scored unit, 'other--test'."]


def test_a_new_submission_of_an_explainer_hashes_its_maps(good: Path) -> None:
    (good / "maps.npz").unlink()
    told_about(good, maps=None)
    assert said(good) == [
        "refused maps: submission.toml lacks the hashes of the maps that its scores are of; make the folder with: "
        "harness submit"
    ]
    assert validate(good, standing=True).findings == (), "those that are on boards already stay there"


def test_maps_that_were_changed(good: Path) -> None:
    def darker(arrays: dict[str, np.ndarray]) -> None:
        arrays[MAPS] = arrays[MAPS] * np.float32(0.5) - np.float32(0.1)

    write_arrays(good / "maps.npz", {MAPS: np.zeros(3, np.float32)})
    assert said(good) == [
        "refused outputs: maps.npz is not the file of maps that the submission names (its size or hash differs)"
    ]
    change_maps(good, lambda arrays: arrays.update({MAPS: np.ones((9, 1, 8, 8), np.float32)}))
    assert said(good) == [
        f"refused outputs: {MAPS} in maps.npz are not the maps that the submission names (their hash differs)"
    ]
    hashed = array_id(read_arrays(good / "maps.npz")[MAPS])
    tell(good, arrays={MAPS: hashed})
    (finding,) = said(good)
    assert finding.startswith("refused outputs: the outputs of test · small are not those that run.json")


def test_the_perfect_forger_is_found_by_the_maps(run: RunResult, good: Path) -> None:
    """All hashes and all claims fit together, but the scores are not those of the maps."""
    arrays = read_arrays(good / "outputs.npz")
    arrays["small--test--score.sparseness"] = 0.5 + arrays["small--test--score.sparseness"] / 2
    write_arrays(good / "outputs.npz", arrays)
    outputs = {name.rpartition("--")[2]: array_id(array) for name, array in arrays.items()}
    whole = content_id({**outputs, "maps": array_id(the_maps(run))})
    told_about(good, outputs={"outputs.npz": file_id(good / "outputs.npz")})
    change_run(good, lambda document: document["units"][0].update(outputs=whole))
    claim_what_outputs_give(good)
    assert said(good) == ["refused samples: sparseness of test · small is not what its maps give"]


def test_files_of_maps_that_are_not_what_is_said(good: Path) -> None:
    change_maps(good, lambda arrays: arrays.update({"other--test--maps": arrays[MAPS]}))
    assert said(good) == ["refused outputs: maps.npz holds maps of other units than the submission names"]
    maps = read_about(good).maps
    assert maps is not None
    (good / "maps.npz").unlink()
    assert said(good) == [
        "refused schema: maps.npz is missing, but submission.toml says otherwise; make the folder with: harness submit"
    ]
    write_arrays(good / "maps.npz", {MAPS: np.zeros(3, np.float32)})
    tell(good, sha256=None, bytes=None)
    assert said(good) == [
        "refused schema: maps.npz is there, but submission.toml says otherwise; make the folder with: harness submit"
    ]
    (good / "maps.npz").write_bytes(b"0" * 150_001)
    assert said(good) == ["refused sizes: maps.npz has 150 kB, more than the 150 kB allowed."]


def bomb() -> bytes:
    """A small file that claims to unpack to two gigabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{MAPS}.npy", b"\0" * 10_000_000)
    data = bytearray(stream.getvalue())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = (2_000_000_000).to_bytes(4, "little")
    return bytes(data)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{MAPS: np.array([{"a": 1}], dtype=object)})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (bomb, "unpacks to 2000000000 bytes, more than the 1000000000 allowed"),
        (pickled, "has the unsafe dtype object"),
        (lambda: b"PK\3\4" + b"nothing" * 20, "is not a valid file of arrays"),
    ],
)
def test_hostile_files_of_maps(good: Path, content: Callable[[], bytes], sentence: str) -> None:
    (good / "maps.npz").write_bytes(content())
    tell(good)
    (finding,) = said(good)
    assert finding.startswith("refused outputs: maps.npz ")
    assert sentence in finding
    (row,) = build_board(find_protocol("my-images@1")).unranked
    assert row.method == "mine"
    assert sentence in row.reason


def test_maps_that_vanish_are_missed_by_a_board_that_had_them_in_its_cache(good: Path) -> None:
    assert len(build_board(find_protocol("my-images@1")).rows) == 1
    (good / "maps.npz").unlink()
    (row,) = build_board(find_protocol("my-images@1")).unranked
    assert "is not the file of maps that the submission names" in row.reason


def test_other_kinds_of_methods_have_no_maps(checkout: Path, tmp_path: Path) -> None:
    from tests.boards.gate.support import write_template

    root = tmp_path / "other"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_PACKAGE", root / "harness")
        write_template(root)
        folder = root / "submissions" / "toy@1" / "margin"
        assert read_about(folder).maps is None
        told_about(folder, maps=Maps(arrays={"one--iid--x": "1" * 64}))
        assert said(folder) == [
            "refused outputs: submission.toml names maps, but its outputs are all that such a method answers with."
        ]


def test_a_copy_is_a_copy_with_and_without_maps(checkout: Path, good: Path) -> None:
    folder = checkout / "submissions" / "my-images@1" / "another"
    shutil.copytree(good, folder)
    (folder / "maps.npz").unlink()
    tell(folder, sha256=None, bytes=None)
    change_method(folder, name="another")
    assert said(good) == ["refused duplicate: its outputs are those of another in 1 of 1 units."]


def test_reproducing_compares_maps_where_they_are(good: Path) -> None:
    conditions = Conditions(device="cpu", workers=1)
    found = reproduce(good, conditions, Listener(), TODAY)
    assert found.same, found.differences
    assert {name: each.allowed for name, each in found.tolerances.items()} == {
        "maps": 1e-4,
        **dict.fromkeys((f"score.{name}" for name in (*FROM_MAPS, *FROM_THE_METHOD)), 1e-3),
    }
    assert validate(good, standing=True).accepted


@pytest.mark.parametrize(
    "told",
    [
        {"sha256": "1" * 64},
        {"bytes": 5},
        {"sha256": "1" * 64, "bytes": 0},
        {"repo": "lab/maps", "revision": "1" * 40, "file": "maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps", "revision": "main", "file": "maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps", "revision": "1" * 7, "file": "maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "../maps", "revision": "1" * 40, "file": "maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "maps", "revision": "1" * 40, "file": "maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps", "revision": "1" * 40, "file": "../maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps", "revision": "1" * 40, "file": "/maps.npz"},
        {"sha256": "1" * 64, "bytes": 5, "repo": "lab/maps", "revision": "1" * 40, "file": "maps.pkl"},
        {"arrays": {MAPS: "1"}},
    ],
)
def test_what_may_be_said_of_maps(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Maps.model_validate({"arrays": {MAPS: "1" * 64}, **told})
    place = {"repo": "lab/maps", "revision": "1" * 40, "file": "my-images@1/mine-1.0/maps.npz"}
    assert not Maps.model_validate({"arrays": {}, "sha256": "1" * 64, "bytes": 5, **place}).inline


def test_maps_are_uploaded_only_once_the_gate_has_passed_them(run: RunResult, checkout: Path) -> None:
    taken: list[tuple[str, str]] = []

    def upload(file: Path, path: str) -> str:
        assert not (checkout / "submissions" / "my-images@1").exists(), "first there, then here"
        taken.append((path, file_id(file)))
        return "a" * 40

    submitted = submit(run, checkout, MapsRepository("lab/maps", upload))
    assert submitted.report.accepted
    assert submitted.report.as_reported == FROM_THE_METHOD, "it was judged with its maps"
    maps = read_about(submitted.folder).maps
    assert maps is not None
    assert taken == [(maps.file, maps.sha256)]
    assert (maps.repo, maps.revision) == ("lab/maps", "a" * 40)
    assert not (submitted.folder / "maps.npz").exists()
    assert validate(submitted.folder).as_reported == ("uniform_maps", *FROM_MAPS, *FROM_THE_METHOD)


def test_nothing_is_uploaded_for_what_the_gate_refuses_or_cannot_take(
    run: RunResult, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload(file: Path, path: str) -> str:
        raise AssertionError("it must not come to this")

    with pytest.raises(UsageError, match=r"--maps maps: repo: it must be of the form"):
        submit(run, checkout, MapsRepository("maps", upload))
    monkeypatch.setattr(boards, "LARGEST_FETCHED", 10)
    with pytest.raises(UsageError, match="more than the 0 MB that the gate fetches; leave --maps out"):
        submit(run, checkout, MapsRepository("lab/maps", upload))
    monkeypatch.undo()


def test_files_of_other_sizes_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    write_arrays(path, {MAPS: np.zeros(3, np.float32)})
    maps = Maps(arrays={MAPS: "1" * 64}, sha256=file_id(path), bytes=path.stat().st_size + 1)
    with pytest.raises(IntegrityError, match="its size or hash differs"):
        module.read_maps(maps, path)
    with pytest.raises(IntegrityError, match="its size or hash differs"):
        module.read_maps(maps, tmp_path / "nothing.npz")
