"""Who works on a unit: one at a time, whatever happened to those before."""

import dataclasses
import os
import subprocess
import sys
import threading
import time

import pytest

from harness.execution import claims
from harness.execution.claims import SetApartError, claimed, is_void, under_way
from harness.execution.evaluate import prepare
from harness.execution.job import Job
from harness.execution.unit_server import _kept

from .support import CHECKOUT, HONEST, PATIENCE, request_one, soon

UNIT = "ab" * 32
_HOLD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from harness.execution.claims import claimed
job = SimpleNamespace(folder=Path(sys.argv[1]), session="s")
with claimed(job, sys.argv[2], "a unit", lambda: False) as claim:
    print(claim.lost, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def job(tmp_path):
    prepared = prepare(request_one(tmp_path, HONEST))
    return Job(prepared.protocol.path, prepared.method, tmp_path / "run", prepared.limits, session="s")


def holder(job):
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(job.folder), UNIT], stdout=subprocess.PIPE, cwd=CHECKOUT, text=True
    )
    return process, process.stdout.readline().strip()


def never():
    return False


def test_a_claim_goes_when_the_unit_has_ended(job):
    with claimed(job, UNIT, "a unit", never) as claim:
        assert claim.lost == 0
        ((begun, _),) = under_way(job.folder)
        assert (begun.unit, begun.label, begun.pid) == (UNIT, "a unit", os.getpid())
    assert list(under_way(job.folder)) == []


def test_killed_workers_are_counted_and_their_unit_passes_on(job):
    for number in range(3):
        process, lost = holder(job)
        assert lost == str(number)
        process.kill()
        process.wait()
    with claimed(job, UNIT, "a unit", never) as claim:
        assert claim.lost == 3
    with claimed(job, UNIT, "a unit", never) as claim:
        assert claim.lost == 0, "it ended in between"


def test_a_unit_with_which_workers_were_lost_is_set_apart_by_who_asks_so(job):
    for _ in range(2):
        process, _ = holder(job)
        process.kill()
        process.wait()
    for _ in range(2):  # saying so does not count as another one
        with (
            pytest.raises(SetApartError, match=r"^2 workers were lost while a unit was under way$"),
            claimed(job, UNIT, "a unit", never, most_lost=2),
        ):
            raise AssertionError("it was begun")
        assert list(under_way(job.folder)) == [], "nobody works on it"
    with claimed(job, UNIT, "a unit", never, most_lost=3) as claim:
        assert claim.lost == 2


def test_only_workers_count_that_were_lost_since_a_unit_last_kept_anything(job):
    path = job.folder / "jobs" / "begun" / f"{UNIT[:16]}.json"
    with claimed(job, UNIT, "a unit", never):
        ((mine, _),) = under_way(job.folder)
    for kept, lost in (("", 0), ("", 1), ("a", 1), ("a", 2), ("b", 1), ("c", 1)):
        claim = claims._taken(path, mine, kept=lambda kept=kept: kept)
        assert claim.lost == lost
        claim._over.set()  # as if its worker were gone
        ((left, _),) = under_way(job.folder)
        claims.write_json(path, dataclasses.asdict(dataclasses.replace(left, host="elsewhere")))
        os.utime(path, (0, 0))


def test_a_unit_gets_on_by_new_files_and_not_by_writing_the_same_again(tmp_path):
    workspace = tmp_path / "unit"
    names = [_kept(workspace)]
    for path in ("loop_000/network.npz", "loop_000/evaluation.npz", "picks.json"):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text("1")
        names.append(_kept(workspace))
    assert len(set(names)) == 4
    (workspace / "picks.json").write_text("2")
    (workspace / ".harness-0123456789abcdef.tmp").write_text("what a killed writer leaves")
    assert _kept(workspace) == names[-1]


def test_workers_lost_in_another_session_do_not_count(job):
    process, _ = holder(job)
    process.kill()
    process.wait()
    with claimed(dataclasses.replace(job, session="later"), UNIT, "a unit", never) as claim:
        assert claim.lost == 0


def test_who_is_told_to_stop_gives_the_unit_back_and_is_not_counted(job):
    with pytest.raises(SystemExit), claimed(job, UNIT, "a unit", never):
        sys.exit(143)
    with claimed(job, UNIT, "a unit", never) as claim:
        assert claim.lost == 0


def test_one_waits_for_the_other_and_takes_its_end(job):
    process, _ = holder(job)
    ended, found = threading.Event(), []

    def wait():
        with claimed(job, UNIT, "a unit", ended.is_set) as claim:
            found.append(claim)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(1.5)
    assert waiting.is_alive(), "two would work on one unit"
    ended.set()
    waiting.join(PATIENCE)
    assert found == [None]
    process.kill()
    process.wait()


def test_a_claim_of_another_machine_is_void_only_when_it_was_not_renewed(job):
    path = job.folder / "jobs" / "begun" / f"{UNIT[:16]}.json"
    with claimed(job, UNIT, "a unit", never):
        ((here, _),) = under_way(job.folder)
    far = dataclasses.replace(here, host="elsewhere", pid=1)
    assert not is_void(far, claims.VOID_AFTER - 1)
    assert is_void(far, claims.VOID_AFTER + 1)
    claims.write_json(path, dataclasses.asdict(far))
    assert claims._taken(path, here) is None
    long_ago = time.time() - 2 * claims.VOID_AFTER
    os.utime(path, (long_ago, long_ago))
    claim = claims._taken(path, here)
    assert claim.lost == 1
    claim.end(released=False)


def test_who_was_cut_off_and_comes_back_ends_itself(job, monkeypatch):
    ended = []
    monkeypatch.setattr(claims, "_RENEWED_EVERY", 0.05)
    monkeypatch.setattr(claims.os, "_exit", lambda code: ended.append(code))
    path = job.folder / "jobs" / "begun" / f"{UNIT[:16]}.json"
    with claimed(job, UNIT, "a unit", never):
        ((here, _),) = under_way(job.folder)
        claims.write_json(path, dataclasses.asdict(dataclasses.replace(here, host="elsewhere")))
        assert soon(lambda: ended)
    ((left, _),) = under_way(job.folder)
    assert left.host == "elsewhere", "the other one's claim was taken away"


def test_a_file_that_is_no_claim_is_as_good_as_none(job):
    folder = job.folder / "jobs" / "begun"
    folder.mkdir(parents=True)
    (folder / f"{UNIT[:16]}.json").write_text('{"unit": 1}')
    with claimed(job, UNIT, "a unit", never) as claim:
        assert claim.lost == 0
