"""Units as jobs of an array: what they leave, gathered, is the run that one process would have made."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from harness.execution import array, claims
from harness.execution.array import gather, run_one, write_array
from harness.execution.claims import claimed, under_way
from harness.execution.evaluate import prepare, run
from harness.execution.job import read_job
from harness.execution.runner import SilentObserver
from harness.execution.unit_client import UnitProcessDiedError
from harness.execution.unit_server import UnitServer, _kept, workspace_folder
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, content_id, write_json
from tests.in_process import UnitProcessHere

from .dots import wanted, write_dots
from .support import CHECKOUT, HONEST, PATIENCE, ends, request, soon, stored, untimed, write_table

BEHAVIOURS = {"first": HONEST, "second": "raise ValueError('no')", "third": HONEST}


@pytest.fixture
def here(in_this_process, monkeypatch):
    monkeypatch.setattr(array, "UnitProcess", UnitProcessHere)


@pytest.fixture
def asked(tmp_path):
    return request(tmp_path, BEHAVIOURS, models=2)


@pytest.fixture
def planned(here, asked):
    """A prepared run and the array written of it."""
    prepared = prepare(asked)
    return prepared, write_array(prepared, "slurm")


def run_all(made):
    for index in range(1, made.jobs + 1):
        run_one(made.units, index, made.each)


def test_what_jobs_left_is_the_run_that_one_process_makes(planned, tmp_path, asked):
    prepared, made = planned
    assert made.jobs == len(prepared.plan.units) == 6
    for index in (4, 1, 6, 2, 5, 3):
        run_one(made.units, index)
    folder = gather(prepared.plan.folder, SilentObserver()).folder
    serial = run(prepare(dataclasses.replace(asked, out=tmp_path / "serial"))).folder
    several, one = untimed(folder, serial)
    assert several == one
    assert stored(folder) == stored(serial)
    assert {path.name for path in folder.iterdir()} == {path.name for path in serial.iterdir()}
    assert {status for status, _ in ends(gather(folder, SilentObserver())).values()} == {"ok", "failed"}


def test_a_job_that_is_started_again_runs_nothing(planned, monkeypatch):
    prepared, made = planned
    run_one(made.units, 1)
    folder = prepared.plan.folder / "jobs" / "ended"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    said = []
    run_one(made.units, 1, report=said.append)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [end.result.status for end in said] == ["ok"]


def test_several_units_of_one_job(planned):
    prepared, made = planned
    said = []
    run_one(made.units, 2, 4, said.append)
    assert [end.result.unit for end in said] == list(prepared.plan.units)[4:]


def test_gathering_before_all_have_ended_journals_those_and_seals_nothing(planned):
    prepared, made = planned
    run_one(made.units, 1)
    with pytest.raises(UsageError, match=r"5 units of .* have not ended yet \(one · .*submit the script again"):
        gather(prepared.plan.folder, SilentObserver())
    assert not (prepared.plan.folder / "run.json").exists()
    assert len(stored(prepared.plan.folder)) == 1
    again = write_array(prepared, "lsf")
    assert again.jobs == 5, "what is journaled is not planned again"
    run_all(again)
    found = ends(gather(prepared.plan.folder, SilentObserver()))
    assert [found[name][0] for name in ("first", "second", "third")] == ["ok", "failed", "ok"]


def test_units_that_nobody_ended_are_lost_when_they_are_given_up(planned):
    prepared, made = planned
    run_one(made.units, 1)
    result = gather(prepared.plan.folder, SilentObserver(), give_up=True)
    assert sorted(unit.status for unit in result.document.units) == ["lost"] * 5 + ["ok"]
    assert len(result.failed) == 5
    assert write_array(prepared, "slurm").jobs == 5, "lost ones are tried again"


def test_a_damaged_end_is_none(planned):
    """What ended well beside it is journaled, and the job of its unit, submitted again, ends it once more."""
    prepared, made = planned
    run_all(made)
    folder = prepared.plan.folder / "jobs" / "ended"
    first = next(iter(prepared.plan.units))
    (damaged,) = folder.glob(f"{first}.*.json")
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"1 units of .* have not ended yet"):
        gather(prepared.plan.folder, SilentObserver())
    assert not damaged.exists()
    run_one(made.units, 1)
    assert len(gather(prepared.plan.folder, SilentObserver()).document.units) == 6


def test_a_job_whose_end_was_damaged_runs_again(planned):
    prepared, made = planned
    run_one(made.units, 1)
    (end,) = (prepared.plan.folder / "jobs" / "ended").glob("*.json")
    end.write_text("{")
    said = []
    run_one(made.units, 1, report=said.append)
    assert [each.result.status for each in said] == ["ok"]


@pytest.mark.parametrize("kept", [False, True])
def test_workers_lost_before_a_unit_kept_something_do_not_count(planned, kept):
    """Three workers, one more than may be, had vanished when the next one comes."""
    prepared, _ = planned
    folder = prepared.plan.folder
    job = read_job(folder)
    key, unit = next((key, unit) for key, unit in prepared.plan.units.items() if unit.model == "first")
    workspace = workspace_folder(folder, key)
    with claimed(job, key, unit.label, lambda: False, kept=lambda: _kept(workspace)):
        ((begun, _),) = under_way(folder)
    path = folder / "jobs" / "begun" / f"{key[:16]}.json"
    write_json(path, dataclasses.asdict(dataclasses.replace(begun, host="elsewhere", lost=2)))
    os.utime(path, (0, 0))
    if kept:
        workspace.mkdir(parents=True)
        (workspace / "picks_000.json").write_text("[]")
    with UnitServer(job) as server:
        end = server.run(unit)
    expected = ("ok", "") if kept else ("lost", "3 workers were lost while it was under way")
    assert (end.result.status, end.result.reason) == expected


def test_units_that_workers_are_in_are_not_given_up(planned):
    prepared, made = planned
    run_one(made.units, 1)
    folder, unit = prepared.plan.folder, list(prepared.plan.units)[1]
    with (
        claimed(read_job(folder), unit, "one · second", lambda: False),
        pytest.raises(UsageError, match=r"1 units of .* are still under way \(one · second by .*cancel their jobs"),
    ):
        gather(folder, SilentObserver(), give_up=True)
    assert not (folder / "run.json").exists()
    assert len(gather(folder, SilentObserver(), give_up=True).failed) == 5


def test_a_job_that_comes_when_its_run_is_sealed(planned):
    prepared, made = planned
    run_all(made)
    folder = gather(prepared.plan.folder, SilentObserver()).folder
    with pytest.raises(UsageError, match="is sealed: none of its units is left to be run"):
        run_one(made.units, 1)
    (folder / "jobs" / "ended").mkdir(parents=True)  # of one that had begun before
    assert len(gather(folder, SilentObserver()).document.units) == 6


@pytest.mark.parametrize("name", ["a b", "100%", "it's"])
def test_a_path_that_scripts_cannot_name(here, tmp_path, name):
    asked = dataclasses.replace(request(tmp_path, {"first": HONEST}), out=tmp_path / name)
    with pytest.raises(UsageError, match="choose another folder with --out"):
        write_array(prepare(asked), "slurm")


def test_what_failed_is_planned_again_and_what_ended_well_is_not(planned):
    prepared, made = planned
    run_all(made)
    assert write_array(prepared, "slurm").jobs == 2


def test_a_unit_in_which_processes_die_is_left_after_two(planned, monkeypatch):
    prepared, made = planned

    class Dying(UnitProcessHere):
        died = 0

        def run(self, unit, report=None):
            if Dying.died < 5 and unit.model == next(iter(prepared.plan.units.values())).model:
                claim = claims.Begun(
                    content_id(unit.canonical()),
                    unit.label,
                    "elsewhere",
                    "",
                    1,
                    read_job(prepared.plan.folder).session,
                    0,
                )
                path = claims._path(prepared.plan.folder, claim.unit)
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    claims.write_json(path, dataclasses.asdict(claim))
                if Dying.died < 2:
                    Dying.died += 1
                    found = claims._read(path)
                    claims.write_json(path, dataclasses.asdict(dataclasses.replace(found, released=False)))
                    raise UnitProcessDiedError("the unit process died (exit code -11)")
            return super().run(unit)

    monkeypatch.setattr(array, "UnitProcess", Dying)
    said = []
    run_one(made.units, 1, report=said.append)
    assert said[0].result.status == "failed"
    assert said[0].result.reason == (
        "the unit process died (exit code -11), 2 times: it is not tried again in this run"
    )
    run_one(made.units, 2, report=said.append)
    assert said[1].result.status == "ok", "the rest goes on"


def test_a_run_that_is_mounted_elsewhere(planned, tmp_path):
    prepared, made = planned
    moved = tmp_path / "mounted" / prepared.plan.folder.name
    moved.parent.mkdir()
    shutil.move(prepared.plan.folder, moved)
    for index in range(1, made.jobs + 1):
        run_one(moved / "jobs" / made.units.name, index)
    assert len(gather(moved, SilentObserver()).document.units) == 6
    assert not prepared.plan.folder.exists()


@pytest.mark.parametrize(("index", "each"), [(0, 1), (7, 1), (3, 3)])
def test_a_number_that_there_is_not(planned, index, each):
    with pytest.raises(UsageError, match=f"has no unit number {index}; they are counted from 1"):
        run_one(planned[1].units, index, each)


def test_a_job_of_no_units_is_not_blamed_on_the_number(planned):
    with pytest.raises(UsageError, match="--each must be at least 1, it is 0"):
        run_one(planned[1].units, 1, 0)


def test_a_file_that_is_none_of_units(planned, tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file or directory; `harness plan --array` writes"):
        run_one(tmp_path / "gone.jsonl", 1)
    (tmp_path / "other.jsonl").write_text("hello\n")
    with pytest.raises(IntegrityError, match="is not a file of units"):
        run_one(tmp_path / "other.jsonl", 1)


def test_a_machine_with_another_version_of_the_harness_refuses(planned, monkeypatch):
    monkeypatch.setattr("harness.execution.job.harness_source_hash", lambda: "0" * 64)
    with pytest.raises(UsageError, match="planned with another version of the harness than this machine has"):
        run_one(planned[1].units, 1)


def test_a_method_or_benchmark_changed_since_is_refused(planned, asked):
    prepared, made = planned
    source = prepared.plan.folder / "method.py"
    kept = source.read_bytes()
    source.write_bytes(kept + b"\n")
    with pytest.raises(IntegrityError, match=r"method\.py was changed after the run was planned"):
        run_one(made.units, 1)
    source.write_bytes(kept)
    path = prepared.protocol.path
    path.write_text(path.read_text().replace('title = "Small"', 'title = "Edited"'))
    with pytest.raises(IntegrityError, match="was changed after the run was planned"):
        run_one(made.units, 1)
    with pytest.raises(UsageError, match=r"was changed after .* was planned.* or plan again, which begins a new run"):
        gather(prepared.plan.folder, SilentObserver())


@pytest.mark.parametrize("what", ["the benchmark's file", "a table that no hash pins"])
def test_what_has_ended_counts_again_when_a_changed_file_is_restored(planned, asked, what):
    """Planning again begins a run in another folder, with all units."""
    prepared, made = planned
    run_one(made.units, 1)
    path = prepared.protocol.path
    changed = path if what == "the benchmark's file" else path.parent / "first.npz"
    kept = changed.read_bytes()
    if changed == path:
        path.write_text(path.read_text().replace('title = "Small"', 'title = "Edited"'))
    else:
        write_table(changed, seed=99)
    with pytest.raises(
        UsageError, match=r"was changed after .* was planned, and units that ended there are of the old"
    ):
        gather(prepared.plan.folder, SilentObserver())
    anew = prepare(asked)
    assert anew.plan.folder != prepared.plan.folder
    assert write_array(anew, "slurm").jobs == made.jobs
    changed.write_bytes(kept)
    assert prepare(asked).plan.folder == prepared.plan.folder
    assert write_array(prepare(asked), "slurm").jobs == made.jobs - 1
    run_all(made)
    assert len(gather(prepared.plan.folder, SilentObserver()).document.units) == made.jobs


def test_a_job_file_that_is_damaged(planned):
    prepared, made = planned
    path = prepared.plan.folder / "jobs" / "job.json"
    plain = json.loads(path.read_text())
    del plain["limits"]
    path.write_text(json.dumps(plain))
    with pytest.raises(IntegrityError, match="was not written by this version of the harness; plan the run again"):
        run_one(made.units, 1)
    path.unlink()
    with pytest.raises(UsageError, match="holds no job to work on: No such file"):
        run_one(made.units, 1)


@pytest.mark.parametrize("system", ["slurm", "lsf"])
def test_scripts(planned, system):
    """As they were read beside the manuals of sbatch and bsub; what differs from run to run is replaced."""
    prepared, _ = planned
    made = write_array(prepared, system)
    text = made.script.read_text()
    for found, name in (
        (str(made.units.parent.resolve()), "JOBS"),
        (sys.executable, "PYTHON"),
        (made.units.name, "UNITS"),
    ):
        text = text.replace(found, name)
    golden = {
        "slurm": """\
#!/bin/sh
#SBATCH --job-name=harness-zoo
#SBATCH --array=1-6
#SBATCH --cpus-per-task=1
#SBATCH --mem=6G
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --output=JOBS/logs/%A_%a.txt
# Each job runs one unit and leaves how it ended in the run's folder; a job that is started again goes on.
exec PYTHON -m harness worker --units JOBS/UNITS --index "$SLURM_ARRAY_TASK_ID"
""",
        "lsf": """\
#!/bin/sh
#BSUB -J "harness-zoo[1-6]"
#BSUB -n 1
#BSUB -R "span[hosts=1] rusage[mem=6GB]"
#BSUB -r
#BSUB -o JOBS/logs/%J_%I.txt
# Each job runs one unit and leaves how it ended in the run's folder; a job that is started again goes on.
exec PYTHON -m harness worker --units JOBS/UNITS --index "$LSB_JOBINDEX"
""",
    }
    assert text == golden[system]
    assert subprocess.run(["sh", "-n", made.script]).returncode == 0


def test_more_units_than_an_array_may_have_share_jobs(planned, monkeypatch):
    monkeypatch.setattr(array, "_MOST_JOBS", 4)
    made = write_array(planned[0], "slurm")
    assert (made.jobs, made.each) == (3, 2)
    assert "--array=1-3" in made.script.read_text()
    assert "--each 2 --index" in made.script.read_text()
    run_all(made)
    assert len(gather(planned[0].plan.folder, SilentObserver()).document.units) == 6


def test_a_batch_system_that_is_not_known(planned):
    with pytest.raises(UsageError, match="no batch system is called 'slrum'; did you mean slurm"):
        write_array(planned[0], "slrum")


@pytest.mark.slow
def test_a_campaign_whose_worker_is_told_to_stop_goes_on_in_another(tmp_path, monkeypatch):
    """SIGTERM: the unit is given back, nobody counts as lost, and what was trained is not trained again."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    files = write_dots(tmp_path / "files")
    serial = run(prepare(wanted(files, tmp_path / "serial", workers=1))).folder
    prepared = prepare(wanted(files, tmp_path / "runs", workers=1))
    made, folder = write_array(prepared, "slurm"), prepared.plan.folder
    command = [sys.executable, "-m", "harness", "worker", "--units", str(made.units), "--index"]
    first = subprocess.Popen(
        [*command, "1"], cwd=CHECKOUT, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
    )
    assert soon(lambda: list(folder.glob("under-way/*/loop_*")))
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=PATIENCE)
    if first.returncode:  # else it had ended before
        assert first.returncode == 128 + signal.SIGTERM, errors.decode()
        assert list(under_way(folder)) == []
        (claim,) = (folder / "jobs" / "begun").glob("*.json")
        assert json.loads(claim.read_text())["released"]
        assert json.loads(claim.read_text())["lost"] == 0
    for index in range(1, made.jobs + 1):
        subprocess.run(
            [*command, str(index)], cwd=CHECKOUT, check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
        )
    several, one = untimed(gather(folder, SilentObserver()).folder, serial)
    assert several == one
    assert stored(folder) == stored(serial)


_BSUB = """#!{python}
import os, re, subprocess, sys
text = sys.stdin.read()
jobs = int(re.search(r'#BSUB -J "[\\w-]+\\[1-(\\d+)\\]"', text)[1])
for index in range(1, jobs + 1):
    subprocess.run(["sh", "-c", text], check=True, env={{**os.environ, "LSB_JOBINDEX": str(index)}})
"""


@pytest.mark.slow
def test_an_array_through_a_stand_in_of_bsub(tmp_path, monkeypatch):
    asked = request(tmp_path, {"first": HONEST, "second": HONEST})
    serial = run(prepare(dataclasses.replace(asked, out=tmp_path / "serial"))).folder
    bsub = tmp_path / "bin" / "bsub"
    bsub.parent.mkdir()
    bsub.write_text(_BSUB.format(python=sys.executable))
    bsub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bsub.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    prepared = prepare(asked)
    made = write_array(prepared, "lsf")
    subprocess.run(["sh", "-c", array.SUBMIT["lsf"].format(made.script)], check=True)
    several, one = untimed(gather(prepared.plan.folder, SilentObserver()).folder, serial)
    assert several == one
