"""The model of the executors keeps to what is proved of schedules, and to the rules of the harness."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execution.claims import VOID_AFTER
from harness.execution.waiting import Room
from tests.execution.test_room import units
from tests.performance.simulation import model
from tests.performance.simulation.model import Cluster, EndlessError, Step, Task, lower_bound, simulate
from tests.performance.simulation.workloads import CAMPAIGNS, tasks_of

LENGTHS = st.lists(st.lists(st.integers(1, 1000).map(float), min_size=1, max_size=4), min_size=1, max_size=30)
HARSH = Cluster(5, queue=50.0, worker=5.0, unit=2.0, head=0.1, mtbf=2000.0, deaths=5000.0, walltime=1500.0)


def tasks(lengths, shared=False, deadly=()):
    """The first step of every third task is a product that they share."""
    return [
        Task(
            str(i),
            tuple(
                Step(7.0, "p") if shared and number == 0 and i % 3 == 0 else Step(each)
                for number, each in enumerate(one)
            ),
            deadly=i in deadly,
        )
        for i, one in enumerate(lengths)
    ]


@given(LENGTHS, st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_schedule_beats_the_lower_bound(lengths, workers, shared):
    given_tasks = tasks(lengths, shared)
    found = simulate(given_tasks, Cluster(workers, unit=1.0))
    assert found.makespan >= lower_bound(given_tasks, workers) * (1 - 1e-9)
    assert 0 <= found.overhead < 1


@given(LENGTHS)
@settings(max_examples=40, deadline=None)
def test_one_worker_without_failures_takes_the_sum_of_all_work_and_starts(lengths):
    found = simulate(tasks(lengths), Cluster(1, worker=11.0, unit=3.0, head=0.25))
    work = sum(map(sum, lengths))
    assert found.makespan == pytest.approx(
        11 + 3 * len(lengths) + work + 0.25
    )  # while it works, earlier ends are journaled
    assert found.useful == pytest.approx(work)
    assert (found.lost, found.twice, found.held) == (0, 0, 0)


@given(LENGTHS, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_more_workers_keep_to_the_bound_of_list_scheduling(lengths, workers):
    """Graham 1969: total / m + (1 - 1/m) * longest, whatever the order; so at most 2 - 1/m times the best."""
    found = simulate(tasks(lengths), Cluster(workers))
    each = [sum(one) for one in lengths]
    assert found.makespan <= (sum(each) / workers + (1 - 1 / workers) * max(each)) * (1 + 1e-9)
    assert found.makespan <= (2 - 1 / workers) * lower_bound(tasks(lengths), workers) * (1 + 1e-9)


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_all_work_is_done_at_last_whatever_fails_and_no_time_is_lost_from_sight(seed, array):
    """Each session ends every task that it has once, and has those that did not end well in the one before."""
    given_tasks = tasks([[300.0, 200.0, 100.0]] * 40, shared=True, deadly={4, 5})
    cluster = Cluster(**{**vars(HARSH), "array": array})
    found = simulate(given_tasks, cluster, seed)
    left = {task.key for task in given_tasks}
    for session in found.sessions:
        assert set(session) == left
        assert set(session.values()) <= {"ok", "failed", "lost", *(["missing"] if array else [])}
        left = {key for key, status in session.items() if status != "ok"}
    assert left == {"4", "5"}, "those that are deadly"
    assert found.lost > 0, "something fails in such a place"
    well = [step for task in given_tasks if not task.deadly for step in task.steps]
    assert found.useful == pytest.approx(sum(step.seconds for step in well if not step.product) + 7.0)
    spent = found.useful + found.lost + found.twice + found.starting + found.held
    assert spent <= found.workers * found.makespan * (1 + 1e-9)
    assert found.makespan >= lower_bound([task for task in given_tasks if not task.deadly], 5)
    assert simulate(given_tasks, cluster, seed) == found, "the same seed is the same run"
    first = simulate(given_tasks, cluster, seed, sessions=1)
    assert first.sessions == found.sessions[:1]
    assert first.makespan <= found.makespan


@given(LENGTHS, st.integers(1, 6), st.booleans(), st.integers(0, 3), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_failures_never_beat_the_lower_bound_and_leave_nothing_undone(lengths, workers, array, retries, seed):
    given_tasks = tasks(lengths)
    place = Cluster(**{**vars(HARSH), "workers": workers, "array": array, "retries": retries})
    found = simulate(given_tasks, place, seed)
    assert set(found.ends.values()) == {"ok"}
    assert found.useful == pytest.approx(sum(map(sum, lengths)))
    assert found.makespan >= lower_bound(given_tasks, workers) * (1 - 1e-9)


def lives(monkeypatch, *seconds):
    """Workers live so long, in the order in which they are ready; later ones for ever."""
    left = list(seconds)
    monkeypatch.setattr(model, "_drawn", lambda rng, mean: (left.pop(0) if left else math.inf) if mean == 1.0 else mean)


def test_a_unit_with_which_two_workers_were_lost_waits_for_the_others(monkeypatch):
    """By hand: ready at 10, and A from 11 to 40, when its worker vanishes (29 s lost). The next is ready at 50, waits for
    the claim until 100, works from 101 to 140 (39 s lost). The third is ready at 150, finds at 200 that A is set apart,
    does B from 201 to 251, and then A from 252 to 352."""
    lives(monkeypatch, 30.0, 90.0)
    found = simulate([Task("A", (Step(100.0),)), Task("B", (Step(50.0),))], Cluster(1, worker=10, unit=1, mtbf=1.0))
    assert found.sessions == [{"B": "ok", "A": "ok"}]
    assert list(found.ends) == ["B", "A"]
    assert found.makespan == 352.0
    assert (found.useful, found.lost, found.held, found.starting) == (150.0, 68.0, 100.0, 34.0)


def test_workers_lost_before_a_unit_kept_something_do_not_count(monkeypatch):
    """By hand: steps of 100 s. Workers vanish at 50 and, after the claim of the first was waited for, at 250 (the first step
    was kept at 210), and at 350; at 410 the last one begins the second step, of which 40 and 40 s were lost, as 50 of the
    first. Were all three counted, it would be lost."""
    lives(monkeypatch, 50.0, 200.0, 100.0)
    found = simulate([Task("A", (Step(100.0), Step(100.0)))], Cluster(1, mtbf=1.0, retries=2))
    assert found.sessions == [{"A": "ok"}]
    assert (found.makespan, found.useful, found.lost, found.held) == (510.0, 200.0, 130.0, 180.0)


def test_a_unit_that_is_lost_is_tried_in_the_next_session(monkeypatch):
    """As before, but the third worker vanishes at 300 (48 s lost). The fourth is ready at 310 and gives A up at 360, when
    the claim is void; in the next session A is begun at 370, and has ended at 471."""
    lives(monkeypatch, 30.0, 90.0, 150.0)
    found = simulate([Task("A", (Step(100.0),)), Task("B", (Step(50.0),))], Cluster(1, worker=10, unit=1, mtbf=1.0))
    assert found.sessions == [{"B": "ok", "A": "lost"}, {"A": "ok"}]
    assert found.makespan == 471.0
    assert (found.useful, found.lost, found.held) == (150.0, 116.0, 150.0)


def test_units_that_are_set_apart_are_begun_together_when_no_other_is_left(monkeypatch):
    """By hand: both lose two workers, A at 10 and 75, B at 20 and 85; their claims are void at 135 and 145. Then both
    are begun, and end at 245."""
    lives(monkeypatch, 10.0, 20.0, 65.0, 65.0)
    found = simulate([Task("A", (Step(100.0),)), Task("B", (Step(100.0),))], Cluster(2, mtbf=1.0))
    assert found.sessions == [{"A": "ok", "B": "ok"}]
    assert (found.makespan, found.held, found.lost) == (245.0, 240.0, 10.0 + 20.0 + 5.0 + 5.0)


def test_a_job_of_an_array_whose_time_is_up_leaves_its_unit_to_the_next_session():
    found = simulate(tasks([[100.0, 100.0]]), Cluster(1, walltime=150.0, array=True))
    assert found.sessions == [{"0": "missing"}, {"0": "ok"}]
    assert (found.useful, found.lost, found.makespan) == (200.0, 50.0, 250.0)


@pytest.mark.parametrize("array", [False, True])
def test_a_step_that_no_worker_has_time_for_never_ends(array):
    with pytest.raises(EndlessError):
        simulate(tasks([[100.0]]), Cluster(1, unit=50.0, walltime=150.0, array=array))


def test_a_unit_that_kills_two_processes_is_left_and_the_rest_goes_on():
    for place in (Cluster(2, unit=1.0), Cluster(2, unit=1.0, array=True)):
        found = simulate(tasks([[100.0]] * 10, deadly={3}), place)
        assert found.sessions == [{str(i): "failed" if i == 3 else "ok" for i in range(10)}]
        assert found.lost == pytest.approx(2 * 50.0), "half of its step, twice"


def test_on_one_machine_a_unit_fails_with_its_process():
    planned = units(4, models=2)
    tasks_here = [Task(key, (Step(100.0),), deadly=i == 1) for i, key in enumerate(planned)]
    found = simulate(tasks_here, Cluster(2, machine=(planned, Room())))
    assert Counter(found.ends.values()) == {"ok": 3, "failed": 1}
    assert found.lost == pytest.approx(50.0)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_unit_is_lost_with_one_worker_more_than_it_may_be_begun_again(retries):
    """A step of a thousand mean lives never ends."""
    found = simulate(tasks([[1e6]]), Cluster(1, mtbf=1e5, retries=retries), seed=1, sessions=1)
    assert found.ends == {"0": "lost"}
    assert found.held == pytest.approx(VOID_AFTER * (retries + 1)), "each next worker waits until the claim is void"


def test_what_is_kept_is_not_done_again():
    """A worker's time is up in the second step: 100 s of work were kept, and 50 s are lost."""
    found = simulate(tasks([[100.0, 100.0]]), Cluster(1, walltime=150.0))
    assert found.ends == {"0": "ok"}
    assert (found.useful, found.lost, found.makespan) == (200.0, 50.0, 250.0)


def test_workers_that_begin_together_make_a_product_twice():
    given_tasks = [Task(str(i), (Step(60.0, "outputs"), Step(1.0))) for i in range(4)]
    together, one = simulate(given_tasks, Cluster(4)), simulate(given_tasks, Cluster(1))
    assert (together.useful, together.twice) == (64.0, 180.0)
    assert (one.useful, one.twice, one.makespan) == (64.0, 0.0, 64.0)


@pytest.mark.parametrize(("memory", "workers"), [(10.0, 4), (4.0, 4), (2.0, 3)])
def test_on_one_machine_units_under_way_together_fit_into_memory(memory, workers):
    planned = units(12, models=5)
    needs = {key: 1.0 + i % 3 for i, key in enumerate(planned)}
    machine = (planned, Room(memory, needs))
    found = simulate([Task(key, (Step(10.0),)) for key in planned], Cluster(workers, machine=machine))
    assert Counter(found.ends.values()) == {"ok": 12}
    assert 3.0 <= found.most <= max(memory, 3.0)
    assert found.makespan >= 120 / workers


def test_a_slow_journal_holds_the_end_up_and_not_the_workers():
    found = simulate(tasks([[1.0]] * 100), Cluster(100, head=0.5))
    assert found.makespan == pytest.approx(1 + 100 * 0.5)


def test_paper_scale_plans_become_tasks_whose_work_is_what_the_plan_declares():
    """One strategy of nnActive: 16 settings, 4 seeds, 5 loops of 5 trainings, 200 epochs of 250 steps each."""
    found = tasks_of(CAMPAIGNS[0], spread=0.0)
    assert len(found) == 16 * 4
    assert {len(task.steps) for task in found} == {25}
    products = [step.product for task in found for step in task.steps if step.product]
    assert len(products) == len(set(products)) == 64 * 5, "no other strategy shares the start of a seed"
    assert all(math.isclose(step.seconds, 200 * 250 * 0.4) for task in found for step in task.steps)
    drawn = tasks_of(CAMPAIGNS[0])
    assert [task.key for task in drawn] == [task.key for task in found]
    mean = sum(step.seconds for task in drawn for step in task.steps) / (64 * 25)
    assert mean == pytest.approx(20000, rel=0.03), "a spread does not change the mean: 4 standard errors"
