"""What one does with runs on a benchmark of one's own: score them again, write their loops, compare them."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

import harness
from harness.boards.compare import compare
from harness.boards.loops import write_loops
from harness.boards.replay import replay
from harness.execution.run_files import PROTOCOL
from harness.execution.run_result import RunResult
from harness.execution.runner import _clear
from harness.execution.unit_server import workspace_folder
from harness.spec.errors import UsageError
from tests.tracks.query.classification.support import write_benchmark

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two campaigns on my-images@1, whose file lies beside its images."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    path = write_benchmark(tmp_path / "mine").path
    return [
        harness.evaluate(name, benchmark=str(path), out=tmp_path / "runs", workers=1)
        for name in ("random-sampling", "predictive-entropy")
    ]


def test_runs_find_the_file_that_they_were_made_with(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other = (RunResult.open(each.folder) for each in runs)
    assert one.document.spec.benchmark == "my-images@1"
    assert replay(one, one.protocol()).changed == ()
    folders = write_loops(one.folder, tmp_path / "loops")
    assert [folder.name for folder in folders] == ["training-1--few", "training-2--few"]
    assert len(json.loads((folders[0] / "loop_002.json").read_text())["images"]) == 6
    found = compare(str(one.folder), str(other.folder))
    assert (found.a, found.b) == ("random-sampling", "predictive-entropy")
    assert found.differences


def test_a_file_that_was_moved_is_named(runs, tmp_path):
    one, other = runs
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "mine", moved)
    for done in (one.protocol, lambda: compare(str(one.folder), str(other.folder))):
        with pytest.raises(UsageError, match=r"made on the benchmark my-images@1, .*; name the file with --benchmark"):
            done()
    assert one.protocol(moved / "benchmark.toml").hash == one.document.spec.benchmark_hash
    assert compare(str(one.folder), str(other.folder), moved / "benchmark.toml").differences
    write_loops(one.folder, tmp_path / "loops", moved / "benchmark.toml")


@pytest.mark.parametrize("note", [None, "[]", "{}", '{"path": 3}'])
def test_a_run_that_does_not_say_where_its_benchmark_was(runs, note):
    path = runs[0].folder / PROTOCOL
    path.unlink() if note is None else path.write_text(note)
    with pytest.raises(UsageError, match="name the file with --benchmark"):
        RunResult.open(runs[0].folder).protocol()


def test_a_benchmark_that_was_changed_since_is_another_one(runs, tmp_path):
    path = tmp_path / "mine" / "benchmark.toml"
    path.write_text(path.read_text().replace("batch_size = 8", "batch_size = 4"))
    with pytest.raises(UsageError, match="another state of my-images@1"):
        replay(runs[0], runs[0].protocol())


def test_a_finished_run_keeps_no_working_folder(runs):
    for run in runs:
        assert {path.name for path in run.folder.iterdir()} & {"under-way"} == set()
        assert len(list((run.folder / "outputs").iterdir())) == 2


def test_units_that_failed_keep_theirs(tmp_path):
    """What a campaign has trained is not thrown away with a query that went wrong."""
    units = [SimpleNamespace(unit=letter * 64, status=status) for letter, status in (("a", "ok"), ("b", "failed"))]
    for each in units:
        workspace_folder(tmp_path, each.unit).mkdir(parents=True)
    _clear(tmp_path, SimpleNamespace(units=units))
    assert [path.name for path in (tmp_path / "under-way").iterdir()] == ["b" * 16]
