"""The meta-evaluation data set: what is in it, that its bytes are stable, and that a cut-off build goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.data.meta_evaluation import MapRecord, ScoreRecord, decode_map
from harness.publish import meta_evaluation, shards
from harness.publish.meta_evaluation import build, open_built
from harness.publish.run_source import open_runs
from harness.publish.schema import MapConfig
from harness.publish.shards import PROVENANCE, ShardLimits
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, RunLock, RunLockedError, StorageError, read_json
from tests.publish.conftest import Workshop

SET = MapConfig("image", "made-up")
SMALL = ShardLimits(file=2500, batch=1000)


@dataclass(frozen=True)
class MadeUp:
    """Maps 2x3 of `count` observations; the one numbered `broken` stops the build, the one numbered `holey` has a NaN."""

    count: int = 40
    protocol: str = "made-up@1"
    broken: int | None = None
    holey: int | None = None

    def facts(self) -> dict[str, Any]:
        return {"protocol": self.protocol, "count": self.count, "licence": "CC0", "citations": ["A, 2024", "B, 2025"]}

    def configs(self) -> tuple[MapConfig, ...]:
        return (SET,)

    def map(self, number: int) -> np.ndarray:
        map = np.random.default_rng(number).normal(size=(1, 2, 30)).astype(np.float32)
        if number == self.holey:
            map[0, 0, 0] = np.nan
        return map

    def maps(self, config: MapConfig) -> Iterator[MapRecord]:
        assert config == SET
        for number in range(self.count):
            if number == self.broken:
                raise KeyboardInterrupt
            yield MapRecord("image", "made-up", "net", "mine", str(number), number, None, self.map(number))

    def scores(self) -> Iterator[ScoreRecord]:
        for number in range(self.count):
            value = None if number % 10 == 3 else number / 7
            yield ScoreRecord("image", "made-up", "net", "mine", str(number), "sparseness", "1", "higher", value)


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob(pattern)) for row in pq.read_table(path).to_pylist()]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_rows_are_what_the_runs_stored(workshop: Workshop, tmp_path: Path) -> None:
    built = build(open_runs(workshop.folders, [workshop.benchmark]), tmp_path / "out")
    assert built.rows == {"maps-image-my-images-test": 18, "scores": 72}
    stored = {run.document.spec.method.name: next(iter(run.outputs().values())) for run in workshop.runs}
    maps = rows(tmp_path / "out", "data/maps/image/my-images-test/*.parquet")
    labels = np.load(workshop.benchmark.parent / "images.npz", allow_pickle=False)["labels"].ravel()
    assert [(row["method"], row["observation"]) for row in maps] == [
        (method, str(number)) for method in ("input-x-gradient", "saliency") for number in range(9)
    ]
    for row in maps:
        number = int(row["observation"])
        assert (row["protocol"], row["model"], row["target"]) == ("my-images@1", "small", labels[number])
        map = decode_map(row)
        assert map is not None
        truth = stored[row["method"]]["maps"][number]
        assert map.shape == truth.shape
        assert np.abs(map - truth).max() <= 2**-11 * np.abs(truth).max()
        np.testing.assert_allclose(map, truth, rtol=2**-11, atol=2**-38 * float(np.abs(truth).max()))
    for row in rows(tmp_path / "out", "data/scores/*.parquet"):
        value = stored[row["method"]][f"score.{row['metric']}"][int(row["observation"])]
        assert row["value"] == (value if np.isfinite(value) else None)
        assert row["metric_version"] == "1"
        assert row["direction"] == ("lower" if row["metric"] == "local_lipschitz" else "higher")


def test_predictions_are_those_of_the_network(workshop: Workshop, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    scope: dict[str, Any] = {}
    exec((workshop.benchmark.parent / "factory.py").read_text(), scope)
    network = scope["build"]()
    network.load_state_dict(load_file(workshop.benchmark.parent / "weights.safetensors"))
    images = np.load(workshop.benchmark.parent / "images.npz", allow_pickle=False)["images"]
    expected = network(torch.from_numpy(images[:, None].astype(np.float32) / 255)).argmax(dim=1).tolist()
    build(open_runs(workshop.folders[:1], [workshop.benchmark]), tmp_path / "out")
    assert [row["prediction"] for row in rows(tmp_path / "out", "data/maps/*/*/*.parquet")] == expected


def test_equal_runs_in_any_order_give_equal_bytes(workshop: Workshop, tmp_path: Path) -> None:
    for name, folders in (("one", workshop.folders), ("two", workshop.folders[::-1])):
        build(open_runs(folders, [workshop.benchmark]), tmp_path / name)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_files_are_bounded_and_complete(tmp_path: Path) -> None:
    source = MadeUp()
    built = build([source], tmp_path, limits=SMALL)
    maps = [shard for shard in built.shards if shard.config == SET.name]
    assert len(maps) > 2
    assert [shard.path for shard in maps] == [f"data/maps/image/made-up/{n:05}.parquet" for n in range(len(maps))]
    found = rows(tmp_path, "data/maps/*/*/*.parquet")
    assert [int(row["observation"]) for row in found] == list(range(40))
    held = [sum(len(row["map"]) for row in pq.read_table(tmp_path / shard.path).to_pylist()) for shard in maps]
    assert max(held) <= SMALL.file
    assert pq.read_metadata(tmp_path / maps[0].path).num_row_groups > 1
    scores = rows(tmp_path, "data/scores/*.parquet")
    assert [row["value"] for row in scores] == [None if n % 10 == 3 else n / 7 for n in range(40)]


def test_the_columns_carry_their_features(tmp_path: Path) -> None:
    from datasets import Features
    from harness.publish.schema import MAP_COLUMNS, features

    build([MadeUp()], tmp_path)
    schema = pq.read_schema(tmp_path / "data/maps/image/made-up/00000.parquet")
    assert Features.from_arrow_schema(schema) == features(MAP_COLUMNS)


@pytest.mark.parametrize("broken", [0, 1, 17, 39])
def test_a_build_that_was_cut_off_goes_on_to_the_same_bytes(tmp_path: Path, broken: int) -> None:
    build([MadeUp()], tmp_path / "whole", limits=SMALL)
    with pytest.raises(KeyboardInterrupt):
        build([MadeUp(broken=broken)], tmp_path / "cut", limits=SMALL)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*.parquet")}
    assert not list((tmp_path / "cut").rglob("*.tmp"))
    build([MadeUp()], tmp_path / "cut", limits=SMALL)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "finished files are not written again"


def test_a_finished_build_is_not_read_again(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path, limits=SMALL)
    before = content(tmp_path)
    build([MadeUp(broken=0)], tmp_path, limits=SMALL)
    assert content(tmp_path) == before


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build([MadeUp(broken=17)], tmp_path, limits=SMALL)
    left = tmp_path / "data/maps/image/made-up/.harness-0123456789abcdef.tmp"
    left.write_bytes(b"half")
    build([MadeUp()], tmp_path, limits=SMALL)
    assert not left.exists()


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = shards.write_table, []

    @contextmanager
    def full(path: Any) -> Iterator[BinaryIO]:
        raise StorageError(f"Could not write {path}: {os.strerror(errno.ENOSPC)}; nothing was changed.")
        yield

    def write(path: Any, *args: Any, **options: Any) -> int:
        if len(written) == 2:
            with full(path):
                pass
        written.append(path)
        return real(path, *args, **options)

    monkeypatch.setattr(shards, "write_table", write)
    with pytest.raises(StorageError, match="No space left"):
        build([MadeUp()], tmp_path / "out", limits=SMALL)
    assert len(read_json(tmp_path / "out" / PROVENANCE)["shards"]) == 2
    monkeypatch.setattr(shards, "write_table", real)
    build([MadeUp()], tmp_path / "out", limits=SMALL)
    build([MadeUp()], tmp_path / "whole", limits=SMALL)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_map_that_is_not_finite_is_missing(tmp_path: Path) -> None:
    build([MadeUp(holey=5)], tmp_path)
    found = rows(tmp_path, "data/maps/*/*/*.parquet")
    assert [row["observation"] for row in found if row["map"] is None] == ["5"]
    assert found[5]["scale"] is None
    assert found[5]["shape"] == [1, 2, 30]
    assert decode_map(found[5]) is None


def test_another_build_is_not_mixed_in(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    for other, limits in ((MadeUp(count=41), ShardLimits()), (MadeUp(), SMALL)):
        with pytest.raises(UsageError, match="built from something else"):
            build([other], tmp_path, limits=limits)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="holds other files"):
        build([MadeUp()], tmp_path)
    assert content(tmp_path) == {"thesis.tex": b"precious"}


def test_two_builds_do_not_write_one_folder(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunLockedError):
        build([MadeUp()], tmp_path)


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_damaged_file_is_refused(tmp_path: Path, how: str) -> None:
    build([MadeUp()], tmp_path)
    path = tmp_path / "data/scores/00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data) if how == "changed" else path.unlink()
    for again in (lambda: build([MadeUp()], tmp_path), lambda: open_built(tmp_path)):
        with pytest.raises(IntegrityError, match=r"00000\.parquet is not the file that was built"):
            again()


@pytest.mark.parametrize("text", ["[]", "{}", '{"shards": 1, "sources": [], "settings": {}, "finished": []}', "{"])
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PROVENANCE).write_text(text)
    with pytest.raises(IntegrityError):
        build([MadeUp()], tmp_path)


def test_there_must_be_something_to_build(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to build from"):
        build([], tmp_path)
    with pytest.raises(UsageError, match="neither maps nor scores"):
        build([MadeUp(count=0)], tmp_path / "out")


def test_runs_that_do_not_belong_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    first = workshop.folders[0]
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    with pytest.raises(UsageError, match="are both of saliency on my-images@1"):
        open_runs([first, copy], [workshop.benchmark])
    (copy / "protocol.json").unlink()
    with pytest.raises(UsageError, match="does not say where its file is; name the file with --benchmark"):
        open_runs([copy])
    other = tmp_path / "benchmark.toml"
    other.write_text(workshop.benchmark.read_text().replace("replicates = 50", "replicates = 60"))
    with pytest.raises(UsageError, match="made for another state of my-images@1"):
        open_runs([first], [other])
    with pytest.raises(UsageError, match="no sealed run"):
        open_runs([tmp_path])


def test_a_changed_answer_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workshop.folders[0], copy)
    shutil.copyfile(next((workshop.folders[1] / "outputs").iterdir()), next((copy / "outputs").iterdir()))
    with pytest.raises(IntegrityError, match="was changed after it was scored"):
        build(open_runs([copy], [workshop.benchmark]), tmp_path / "out")


def test_a_rehearsal_is_refused(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = workshop.runs[0]
    spec = run.document.spec.model_copy(update={"limit": 4, "submittable": False})
    rehearsal = replace(run, document=run.document.model_copy(update={"spec": spec}))
    monkeypatch.setattr("harness.publish.run_source.RunResult.open", lambda folder: rehearsal)
    with pytest.raises(UsageError, match="is a rehearsal of 4 samples"):
        open_runs([run.folder], [workshop.benchmark])


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """In a process of its own, whose peak is that of the build: 500 maps of 3x224x224 are 150 MB in half precision."""
    import subprocess
    import sys

    script = Path(__file__).parents[1] / "performance" / "meta_evaluation_memory.py"
    command = [sys.executable, str(script), "--maps", "500", "--out", str(tmp_path), "--file-megabytes", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = _peaks(done.stdout)
    assert after - before < 300
    assert len(list((tmp_path / "set").rglob("maps/**/*.parquet"))) == 3


def _peaks(printed: str) -> tuple[float, float]:
    words = printed.split("peak resident size:")[1].split()
    return float(words[0]), float(words[3])


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    build([MadeUp(count=250)], tmp_path, progress=lambda what, done: told.append((what, done)))
    assert told == [(SET.name, 100), (SET.name, 200), ("scores", 100), ("scores", 200)]


def test_the_address_reaches_card_and_description(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    before = content(tmp_path)
    meta_evaluation.address(tmp_path, "lab/maps")
    after = content(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"README.md", "croissant.json"}
    assert b'load_dataset("lab/maps", "scores"' in after["README.md"]
    assert read_json(tmp_path / "croissant.json")["url"] == "https://huggingface.co/datasets/lab/maps"
