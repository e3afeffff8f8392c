"""`harness status` and `harness plan --estimate`: what the folder of a run tells, and past journals."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import application
from harness.cli.status import _print_workers
from harness.execution import claims, past, status
from harness.execution.array import gather, run_one, write_array
from harness.execution.evaluate import prepare, run
from harness.execution.job import UnitEnd
from harness.execution.past import earlier, expected
from harness.execution.run_result import RunResult
from harness.execution.runner import SilentObserver
from harness.execution.status import RunStatus, WorkerStatus, Working, run_status
from harness.spec.errors import UsageError
from harness.spec.result import UnitResult
from harness.storage import Journal
from tests.in_process import UnitProcessHere

from .support import CHECKOUT, HONEST, request

BEHAVIOURS = {"first": HONEST, "second": "raise ValueError('no')"}


@pytest.fixture
def asked(tmp_path):
    return request(tmp_path, BEHAVIOURS, models=2)


@pytest.fixture
def planned(asked, in_this_process, monkeypatch):
    monkeypatch.setattr("harness.execution.array.UnitProcess", UnitProcessHere)
    prepared = prepare(asked)
    return prepared.plan, write_array(prepared, "slurm")


def said(*arguments):
    done = CliRunner().invoke(application(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.output


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_from_the_plan_to_the_seal(planned):
    plan, made = planned
    before = run_status(plan.folder)
    assert (before.units, before.done, before.failed, before.waiting, before.sealed) == (4, 0, 0, 4, False)
    run_one(made.units, 1)
    run_one(made.units, 3)
    untouched = everything(plan.folder)
    half = run_status(plan.folder)
    assert everything(plan.folder) == untouched, "looking changed something"
    assert (half.units, half.done, half.failed, half.waiting) == (4, 1, 1, 2)
    run_one(made.units, 2)
    run_one(made.units, 4)
    gather(plan.folder, SilentObserver())
    after = run_status(plan.folder)
    assert (after.units, after.done, after.failed, after.waiting, after.sealed) == (4, 2, 2, 0, True)
    (worker,) = after.workers.values()
    assert (worker.units, worker.failed, worker.now) == (4, 2, None)


def test_what_is_running_and_how_long_it_takes(planned):
    """Two units took 3 s each, of the clock, and hardly a processor; one of two that are left is half done by the only
    worker: 1.5 units of 3 s."""
    plan, made = planned
    run_one(made.units, 1)
    run_one(made.units, 3)
    for path in (plan.folder / "jobs" / "ended").glob("*.json"):
        plain = json.loads(path.read_text()) | {"seconds": 0.1, "wall_seconds": 3.0}
        path.write_text(json.dumps(plain))
    key, unit = list(plan.units.items())[1]
    begun = claims.Begun(key, unit.label, "far", "pid:[1]", 7, "s", 0.0, what="training", share=0.5)
    path = claims._path(plan.folder, key)
    claims.write_json(path, dataclasses.asdict(begun))
    found = run_status(plan.folder)
    assert found.workers["far:7"].now.begun == begun
    assert (len(found.running), found.lost, found.waiting) == (1, 0, 1)
    assert found.seconds_left == pytest.approx(4.5)
    shown = said("status", plan.folder)
    assert "1 of 4 units done, 1 running, 1 failed, 1 waiting, about 0:00:04 left" in shown
    assert "training (50%)" in shown
    described = json.loads(said("status", plan.folder, "--json"))
    assert described["workers"]["far:7"]["share"] == 0.5
    assert described["units_by_processor_seconds"] == 0
    assert {each["seconds"] for each in described["workers"].values()} == {6.0, 0.0}
    claims.write_json(path, dataclasses.asdict(dataclasses.replace(begun, released=True)))
    assert run_status(plan.folder).running == ()


def test_ends_without_seconds_of_the_clock_count_by_those_of_processors_and_that_is_said(planned):
    """As older versions left them: 2 s each of a processor, one other unit under way, one waits."""
    plan, made = planned
    run_one(made.units, 1)
    run_one(made.units, 3)
    for path in (plan.folder / "jobs" / "ended").glob("*.json"):
        plain = json.loads(path.read_text()) | {"seconds": 2.0}
        assert plain.pop("wall_seconds") > 0
        path.write_text(json.dumps(plain))
    key, unit = list(plan.units.items())[1]
    begun = claims.Begun(key, unit.label, "far", "pid:[1]", 7, "s", 0.0)
    claims.write_json(claims._path(plan.folder, key), dataclasses.asdict(begun))
    found = run_status(plan.folder)
    assert (found.by_cost, found.seconds_left) == (2, pytest.approx(4.0))
    assert "about 0:00:04 left (by processor seconds: no others were journaled)" in said("status", plan.folder)


@pytest.mark.parametrize(("device", "count"), [("cpu", 1), ("cuda", 0)])
def test_on_graphics_processors_costs_are_seconds_of_the_clock(device, count):
    unit = UnitResult(unit="0" * 64, model="m", seed=0, study="s", status="ok", reason="")
    assert (
        status._by_cost([UnitEnd(unit, 1.0), UnitEnd(unit, 0.0), UnitEnd(unit, 1.0, wall_seconds=2.0)], device) == count
    )


@pytest.mark.parametrize(("ended", "rows"), [(12, 13), (13, 2)])
def test_of_many_workers_those_in_no_unit_are_one_row(monkeypatch, ended, rows):
    """As of an array, whose every job is a worker."""
    begun = claims.Begun("0" * 64, "one · first", "far", "", 7, "s", 0.0)
    workers = {f"host:{number}": WorkerStatus(2, 1, 10.0) for number in range(ended)}
    workers["far:7"] = WorkerStatus(now=Working(begun, 0.0))
    shown = []
    monkeypatch.setattr("harness.cli.output.print_table", lambda columns, found: shown.extend(found))
    _print_workers(RunStatus(Path(), False, 40, 13, 0, 13, (), 0, workers, None, 0))
    assert len(shown) == rows
    assert ["far:7", "0", "0", "0", "one · first"] in shown
    assert (["13 in no unit now", "26", "13", "130", ""] in shown) == (ended == 13)


def test_a_worker_that_vanished(planned):
    plan, _ = planned
    key, unit = next(iter(plan.units.items()))
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with claims.claimed(dataclasses.replace(job_of(plan)), key, unit.label, lambda: False):
        ((here, _),) = claims.under_way(plan.folder)
        gone = dataclasses.replace(here, pid=int(done.stdout))
    claims.write_json(claims._path(plan.folder, key), dataclasses.asdict(gone))
    found = run_status(plan.folder)
    assert (found.lost, found.running, found.seconds_left) == (1, (), None)


def job_of(plan):
    from harness.execution.job import read_job

    return read_job(plan.folder)


@pytest.mark.parametrize("open_run", [RunResult.open, lambda folder: RunResult.open(folder / "run.json")])
def test_a_run_that_is_not_finished_is_not_taken_for_another_folder(planned, open_run):
    plan, made = planned
    run_one(made.units, 1)
    run_one(made.units, 3)
    with pytest.raises(UsageError) as refused:
        open_run(plan.folder)
    assert str(refused.value).startswith(
        f"the run in {plan.folder} is not finished yet, 2 of 4 units have ended; `harness status {plan.folder}` shows"
    )


@pytest.mark.parametrize("verb", ["show", "report", "browse", "submit"])
def test_no_verb_takes_a_run_that_is_not_finished(planned, verb):
    plan, made = planned
    run_one(made.units, 1)
    with pytest.raises(UsageError, match="is not finished yet, 1 of 4 units have ended; `harness status"):
        CliRunner().invoke(application(), [verb, str(plan.folder)], catch_exceptions=False)


def test_units_that_do_not_apply_are_told_apart_from_scored_ones(tmp_path, in_this_process):
    prepared = prepare(request(tmp_path, {"first": HONEST, "second": "outputs.mc_head_confidence"}, models=2))
    run(prepared)
    found = run_status(prepared.plan.folder)
    assert (found.done, found.inapplicable, found.failed) == (4, 2, 0)
    assert "4 of 4 units done (2 of them not applicable), 0 running, 0 failed" in said("status", prepared.plan.folder)
    result = RunResult.open(prepared.plan.folder)
    assert result.complete
    assert {unit.status for unit in result.not_applicable} == {"not-applicable"}
    assert len(result.not_applicable) == 2
    assert result.failed == ()


def test_a_run_without_any_scores_is_not_complete(tmp_path, in_this_process):
    """As where a real unit lacks what the rehearsal could not know of."""
    prepared = prepare(request(tmp_path, dict.fromkeys(("first", "second"), "outputs.mc_head_confidence"), models=2))
    result = run(prepared)
    assert not result.complete
    assert len(result.not_applicable) == len(result.document.units)
    assert all(unit.reason for unit in result.not_applicable)
    assert "No unit has scores." in said("show", result.folder)
    with pytest.raises(UsageError, match="none of its units has scores; `harness show` says why"):
        CliRunner().invoke(application(), ["browse", str(result.folder)], catch_exceptions=False)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UsageError, match="holds no run; name the folder that evaluate or plan printed"):
        run_status(tmp_path)


def test_nothing_is_known_before_the_first_run_and_all_after(asked, in_this_process):
    plan = prepare(asked).plan
    nothing = expected(plan)
    assert (nothing.known, nothing.unknown, nothing.memory, nothing.hours) == (0, 4, None, 0.0)
    assert "Nothing is known of 4 of 4 units" in said("plan", asked.method, "--benchmark", asked.benchmark, "--out",
                                                    asked.out, "--estimate")  # fmt: skip
    document = run(prepare(asked)).document
    ((_, lines),) = journals(asked)
    took = {line["unit"]["unit"]: line["wall_seconds"] for line in lines if "unit" in line}
    by_study = sorted(took[unit.unit] for unit in document.units if unit.status == "ok")
    middle = sum(by_study) / 2  # of the study, for models that failed
    other = dataclasses.replace(asked, seed=1)
    found = expected(prepare(other).plan)
    assert (found.known, found.by_cost, found.unknown, found.journals, found.same_method) == (4, 0, 0, 1, True)
    assert found.hours * 3600 == pytest.approx(sum(by_study) + 2 * middle)
    assert found.memory > 0
    told = earlier(prepare(other).plan)
    assert set(told.memory) == set(told.seconds) == set(prepare(other).plan.units)
    assert sum(told.seconds.values()) == pytest.approx(found.hours * 3600)


def journals(asked):
    """Path and records of each run below a request's folder."""
    return [(path, list(Journal.read(path))) for path in sorted(asked.out.glob("*/journal.log"))]


def rewritten(path, records):
    path.unlink()
    with Journal.open(path) as journal:
        for record in records:
            journal.append(record)


def timed(records, seconds, wall):
    """The same ends with other times, all alike; wall None: as of a journal of an older version."""
    for record in records:
        if "unit" in record:
            del record["wall_seconds"]
            yield record | {"seconds": seconds} | ({} if wall is None else {"wall_seconds": wall})
        else:
            yield record


def test_hours_are_of_the_clock_and_of_older_journals_by_cost(tmp_path, in_this_process):
    """Four units that waited for an hour each and took a processor for 36 s; journals without the hour tell 36 s."""
    asked = request(tmp_path, {"first": HONEST, "second": HONEST}, models=2)
    other = dataclasses.replace(asked, seed=2)
    told = ("plan", asked.method, "--benchmark", asked.benchmark, "--out", asked.out, "--seed", 2, "--estimate")
    run(prepare(asked))
    ((path, records),) = journals(asked)
    rewritten(path, timed(records, 36.0, None))
    old = expected(prepare(other).plan)
    assert (old.hours, old.known, old.by_cost) == (pytest.approx(0.04), 4, 4)
    assert "for 4 units; 4 of them by processor seconds, no others were journaled:" in said(*told)
    run(prepare(dataclasses.replace(asked, seed=1)))
    (new,) = (each for each in journals(asked) if each[0] != path)
    rewritten(new[0], timed(new[1], 36.0, 3600.0))
    both = expected(prepare(other).plan)
    assert (both.hours, both.by_cost, both.journals) == (pytest.approx(4.0), 0, 2)
    assert "by processor seconds" not in said(*told)
    assert run(prepare(asked)).complete, "a run of an older version is still one"


def test_before_a_run_only_the_last_journals_are_read(tmp_path, in_this_process, monkeypatch):
    monkeypatch.setattr(past, "_LAST", 1)
    asked = request(tmp_path, {"first": HONEST})
    for seed, seconds in enumerate((5.0, 7.0)):
        run(prepare(dataclasses.replace(asked, seed=seed)))
        path, records = max(journals(asked), key=lambda each: each[0].stat().st_mtime_ns)
        rewritten(path, timed(records, seconds, seconds))
        os.utime(path, (seconds, 100 - seconds))
    plan = prepare(dataclasses.replace(asked, seed=2)).plan
    assert set(earlier(plan).seconds.values()) == {5.0}, "written last, as the clock of the file says"
    assert expected(plan).journals == 2


def test_a_unit_that_waits_takes_its_time_and_costs_little(tmp_path, in_this_process):
    run(prepare(request(tmp_path, {"first": f"time.sleep(1.5)\n{HONEST}"})))
    (path,) = (tmp_path / "runs").glob("*/journal.log")
    (end,) = (UnitEnd.of(record) for record in Journal.read(path) if "unit" in record)
    assert end.duration == end.wall_seconds >= 1.5
    assert end.seconds != end.wall_seconds


def test_runs_of_another_limit_and_damaged_journals_tell_nothing(asked, in_this_process):
    folder = run(prepare(asked)).folder
    assert expected(prepare(dataclasses.replace(asked, limit=50)).plan).known == 0
    journal = folder / "journal.log"
    journal.write_bytes(journal.read_bytes().replace(b'"seconds":', b'"sekonds":'))
    assert expected(prepare(dataclasses.replace(asked, seed=1)).plan).known == 0


def test_the_worker_as_a_command(planned):
    plan, made = planned
    assert "one · first: ok" in said("worker", "--units", made.units, "--index", 1)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "status", plan.folder], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert "1 of 4 units done, 0 running, 0 failed, 3 waiting" in done.stdout, done.stderr


@pytest.mark.parametrize("system", ["slurm", "lsf"])
def test_an_estimate_is_not_taken_for_a_part_of_an_array(asked, system):
    wanted = ("plan", asked.method, "--benchmark", asked.benchmark, "--out", asked.out, "--estimate", "--array", system)
    with pytest.raises(UsageError, match="--estimate only tells hours and memory, --array writes a script"):
        CliRunner().invoke(application(), list(map(str, wanted)), catch_exceptions=False)
    assert not asked.out.exists()
