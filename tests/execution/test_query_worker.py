"""A query strategy in its worker: what it is offered reaches it everywhere, and nothing else that a campaign keeps."""

from dataclasses import replace

import numpy as np
import pytest

from harness.boards.loops import write_loops
from harness.data.scratch import offers_scratch, private_scratch
from harness.execution.evaluate import prepare, run
from harness.execution.fence import landlock_problem
from harness.execution.sandbox import sandbox_available

from .dots import wanted, write_dots

REASON = sandbox_available()

READS_PRIVATE = """
from pathlib import Path
from harness import query_strategy

@query_strategy(version="1")
def nosy(probabilities):
    Path({path!r}).read_bytes()
    return probabilities.mean(0).amax(0)
"""


READS_POOL = """
import ctypes
from harness import query_strategy

@query_strategy(version="1")
def nosy(probabilities):
    assert ctypes.CDLL(None).open({path!r}.encode(), 0) < 0, "labels of the pool were read"
    return probabilities.mean(0).amax(0)
"""


DRAWS = """
from harness import query_strategy

@query_strategy(version="1")
class Draws:
    def query(self, pool, budget, rng):
        return pool.random(budget, rng)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def ended(asked, inside=False):
    prepared = prepare(replace(asked, limit=2))
    result = run(replace(prepared, limits=replace(prepared.limits, fence="bubblewrap")) if inside else prepared)
    return result.document.units, result.outputs()


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_a_strategy_in_the_sandbox_is_offered_the_same_pool(tmp_path):
    files = write_dots(tmp_path / "dots")
    units, outside = ended(wanted(files, tmp_path / "outside"))
    assert {unit.status for unit in units} == {"ok"}
    units, inside = ended(wanted(files, tmp_path / "inside"), inside=True)
    assert {unit.status for unit in units} == {"ok"}, [unit.reason for unit in units]
    for key, outputs in outside.items():
        assert all(np.array_equal(array, inside[key][name]) for name, array in outputs.items())


def test_private_files_of_any_process_are_closed_to_methods(tmp_path):
    secret = private_scratch() / f"secret-{tmp_path.name}-{id(tmp_path)}"
    secret.write_text("labels")
    try:
        files = write_dots(tmp_path / "dots", READS_PRIVATE.format(path=str(secret)))
        units, _ = ended(wanted(files, tmp_path / "runs"))
    finally:
        secret.unlink()
    assert {unit.status for unit in units} == {"failed"}
    assert all("may not read what the harness knows" in unit.reason for unit in units)


@pytest.mark.skipif(landlock_problem() is not None, reason=str(landlock_problem()))
def test_labels_of_a_pool_are_closed_to_a_strategy_also_beside_its_file(tmp_path):
    """Training, which needs them, goes on in another process."""
    method = READS_POOL.format(path=str(tmp_path / "dots" / "train.npz"))
    units, _ = ended(wanted(write_dots(tmp_path / "dots", method), tmp_path / "runs"))
    assert {unit.status for unit in units} == {"ok"}, [unit.reason for unit in units]
    units, _ = ended(wanted(tmp_path / "dots", tmp_path / "plain", fence="none"))
    assert all("labels of the pool were read" in unit.reason for unit in units)


def test_folders_are_ones_own():
    for folder in (private_scratch(), offers_scratch()):
        assert folder.stat().st_mode & 0o077 == 0


PLAYS_BACK = """
from harness import query_strategy
from harness.methods.precomputed import PrecomputedQueries

@query_strategy(version="1", needs=("names",))
class Mine(PrecomputedQueries):
    folder = {folder!r}
"""


def test_loop_files_of_a_run_are_played_back_though_the_pool_comes_in_another_order(tmp_path):
    """Rows of the data set leave the harness, and come back in as places of what a strategy is shown."""
    files = write_dots(tmp_path / "dots")
    made = run(prepare(wanted(files, tmp_path / "runs")))
    written = write_loops(made.folder, tmp_path / "loops", files / "benchmark.toml")
    for folder in written:
        seed = folder.name.partition("--")[0].rpartition("-")[2]
        folder.rename(folder.with_name(f"seed-{seed}"))
    (files / "method.py").write_text(PLAYS_BACK.format(folder=str(tmp_path / "loops")))
    played = run(prepare(wanted(files, tmp_path / "runs", allow_read=(tmp_path / "loops",))))
    assert {unit.status for unit in played.document.units} == {"ok"}, [unit.reason for unit in played.document.units]
    before, after = (each.outputs().values() for each in (made, played))
    for one, other in zip(before, after, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(array, other[name]) for name, array in one.items())


def test_a_strategy_that_draws_by_position_asks_for_the_same_again(tmp_path):
    files = write_dots(tmp_path / "dots", DRAWS)
    units, one = ended(wanted(files, tmp_path / "one"))
    assert {unit.status for unit in units} == {"ok"}, [unit.reason for unit in units]
    _, other = ended(wanted(files, tmp_path / "other"))
    assert one.keys() == other.keys()
    for key, outputs in one.items():
        assert all(np.array_equal(array, other[key][name]) for name, array in outputs.items())
