"""Never more units under way than fit into memory; a graphics processor each; threads divided."""

import random
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.execution import executor, room
from harness.execution.evaluate import Request, local_executor, prepare
from harness.execution.executor import LocalExecutor, UnitEnd, _Queue
from harness.execution.past import Earlier
from harness.execution.plan import unit_result
from harness.execution.waiting import Room, Waiting, in_turns
from harness.spec.run import Unit
from harness.storage import content_id, write_arrays
from harness.tracks.base import Workload

from .support import HONEST, request

SUM = "0" * 64


def units(count, models=2):
    found = [
        Unit(
            task="confidence", benchmark_hash=SUM, method_hash=SUM, model=f"m{i % models}", model_seed=0, seed=0,
            artefacts_hash=SUM, study=f"s{i}", device="cpu", limit=None, metrics_hash=SUM,
        )
        for i in range(count)
    ]  # fmt: skip
    return {content_id(each.canonical()): each for each in found}


class Processes:
    """Stands for unit processes: counts what is under way together, and which card each was given."""

    def __init__(self, needs, together, patience=0.2):
        self.needs, self.together, self.running, self.most, self.patience = needs, together, {}, 0.0, patience
        self.seen = []  # the needs of what was under way together, whenever something began
        self.cards, self._changed = Counter(), threading.Condition()

    def __call__(self, job, environment=None):
        outer = self

        class Process:
            def run(self, unit, report=None):
                key = content_id(unit.canonical())
                with outer._changed:
                    outer.cards[(environment or {}).get("CUDA_VISIBLE_DEVICES")] += 1
                    outer.running[key] = outer.needs.get(key, 1.0)
                    outer.seen.append(tuple(outer.running.values()))
                    outer.most = max(outer.most, sum(outer.running.values()))
                    outer._changed.notify_all()
                    # Stays until others have joined, so that units do overlap where they may; where they may not, not for ever.
                    outer._changed.wait_for(lambda: len(outer.running) >= outer.together, timeout=outer.patience)
                    del outer.running[key]
                return UnitEnd(unit_result(unit, "ok"), 1.0)

            def close(self): ...

        return Process()


@pytest.mark.parametrize(("limit", "workers"), [(10.0, 4), (6.0, 4), (3.0, 3)])
def test_units_under_way_together_fit_into_memory(monkeypatch, limit, workers):
    planned = units(12)
    needs = {key: 1.0 + i % 3 for i, key in enumerate(planned)}
    processes = Processes(needs, workers)
    monkeypatch.setattr(executor, "UnitProcess", processes)
    ends = list(LocalExecutor(None, workers, Room(limit, needs)).run(planned))
    assert {end.result.unit for end in ends} == set(planned)
    assert max(needs.values()) <= processes.most <= limit


@pytest.mark.parametrize("seed", range(12))
def test_never_more_is_started_than_fits_whatever_units_need(monkeypatch, seed):
    rng = random.Random(seed)
    planned = units(rng.randrange(2, 25), models=rng.randrange(1, 6))
    needs = {key: rng.choice((0.3, 1.0, 2.5, rng.uniform(0.1, 9.0))) for key in planned if rng.random() < 0.8}
    limit, workers = rng.uniform(1.0, 8.0), rng.randrange(2, 7)
    processes = Processes(needs, workers, patience=0.01)
    monkeypatch.setattr(executor, "UnitProcess", processes)
    ends = list(LocalExecutor(None, workers, Room(limit, needs)).run(planned))
    assert {end.result.unit for end in ends} == set(planned)
    assert len(processes.seen) == len(planned)
    for together in processes.seen:
        assert len(together) == 1 or sum(together) <= limit + 1e-9
    smallest = sorted(needs.get(key, 1.0) for key in planned)[:2]
    assert max(map(len, processes.seen)) > 1 or sum(smallest) > limit, "what fits goes on side by side"


@pytest.mark.parametrize(
    ("benchmark", "method", "least", "most"),
    [
        ("query-mni152@2", "predictive-entropy", 1.0, 1.1),  # a network that fits into 25 MiB
        (
            "query-nnactive@1",
            "predictive-entropy",
            15.0,
            20.0,
        ),  # 128 voxels a side, for which nnU-Net plans 8 GiB of half
        ("attribution-mnist@1", "saliency", None, None),
        ("attribution-latec@2", "saliency", 1.4, 7.5),
    ],
)
def test_what_units_of_a_benchmark_need(tmp_path, benchmark, method, least, most):
    prepared = prepare(Request(method, benchmark, out=tmp_path, device="cpu"))
    found = [prepared.track.memory(unit) for unit in prepared.plan.units.values()]
    if least is None:
        assert set(found) == {None}
    else:
        assert least <= min(found) <= max(found) <= most
    on_cards = [prepared.track.memory(replace(unit, device="cuda")) for unit in prepared.plan.units.values()]
    assert set(on_cards) == {None}, "there, networks are not in main memory"


def test_large_tables_need_more(tmp_path):
    """Four times their bytes; packed files count as what is in them."""
    asked = request(tmp_path, {"small": HONEST, "large": HONEST})
    logits = np.zeros((20_000, 500), dtype=np.float32)
    logits[np.arange(20_000), np.arange(20_000) % 500] = 1 + np.arange(20_000)
    write_arrays(tmp_path / "benchmark" / "large.npz", {"logits": logits, "labels": np.arange(20_000) % 500})
    assert (tmp_path / "benchmark" / "large.npz").stat().st_size < logits.nbytes / 10
    prepared = prepare(asked)
    found = {unit.model: prepared.track.memory(unit) for unit in prepared.plan.units.values()}
    assert found["small"] == pytest.approx(1.0, abs=1e-3)
    assert found["large"] == pytest.approx(1.0 + 4 * (logits.nbytes + 8 * 20_000) / 2**30, abs=1e-4)


def test_a_unit_that_needs_more_than_there_is_runs_alone(monkeypatch):
    planned = units(4)
    big, *small = planned
    needs = {big: 100.0}
    processes = Processes(needs, 3)
    monkeypatch.setattr(executor, "UnitProcess", processes)
    ends = list(LocalExecutor(None, 3, Room(4.0, needs)).run(planned))
    assert len(ends) == 4
    assert processes.most == 100.0
    assert small


def test_units_of_no_known_need_count_as_a_pair_of_idle_processes():
    planned = units(3)
    todo = _Queue(planned, Room(2.5, {}, unknown=1.0))
    first, second = todo.take(None), todo.take(None)
    waiting = threading.Thread(target=todo.take, args=(None,), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive(), "three times 1 GiB do not fit into 2.5"
    todo.give_back(first[0])
    waiting.join(60)
    assert not waiting.is_alive()
    assert second is not None


def test_clearing_the_queue_ends_who_waits_for_memory():
    todo = _Queue(units(2), Room(1.0))
    assert todo.take(None)
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(todo.take(None)), daemon=True)
    waiting.start()
    todo.clear()
    waiting.join(60)
    assert taken == [None]


@pytest.mark.parametrize(
    ("seconds", "memory", "needs", "started"),
    [
        (2.0, None, 1.0, 4),  # 8 s in all
        (1.0, None, 1.0, 1),  # 4 s
        (2.0, 6.5, 3.0, 2),  # of 3 GiB each
        (2.0, 2.0, 3.0, 1),  # one runs alone, though it needs more than there is
        (2.0, 2.5, 0.1, 2),  # no process takes less than one of which nothing is known
    ],
)
def test_all_processes_that_memory_allows_start_at_once_where_units_take_long(
    monkeypatch, seconds, memory, needs, started
):
    begun = []

    class Process:
        def __init__(self, job, environment=None): ...
        def start(self, ahead=None):
            begun.append(ahead)

    monkeypatch.setattr(executor, "UnitProcess", Process)
    planned = units(4)
    known = Room(memory, dict.fromkeys(planned, needs), seconds=dict.fromkeys(planned, seconds))
    LocalExecutor(None, 4, known).start("ahead")
    assert begun == ["ahead", *[None] * (started - 1)]


def test_units_that_train_networks_are_known_to_take_time_before_any_has_run():
    class Training:
        def __init__(self, trainings):
            self.trainings = trainings

        def memory(self, unit): ...
        def workload(self, units):
            return Workload(trainings=self.trainings)

    planned, nothing = units(6), Earlier({}, {})
    assert sum(room.room_for(Training(30), planned, "cpu", nothing).seconds.values()) > 5
    assert room.room_for(Training(0), planned, "cpu", nothing).seconds == {}
    past = Earlier({}, dict.fromkeys(planned, 0.1))
    assert room.room_for(Training(30), planned, "cpu", past).seconds == past.seconds


def test_of_a_sealed_run_hardly_anything_is_left(tmp_path):
    prepared = prepare(Request("predictive-entropy", out=tmp_path, device="cpu"))
    assert local_executor(prepared)._room.seconds
    prepared.plan.folder.mkdir(parents=True)
    (prepared.plan.folder / "run.json").write_text("{}")
    assert not local_executor(prepared)._room.seconds


def test_a_further_process_is_not_begun_for_what_is_over_sooner_than_its_start():
    """A start takes 1000 s. Of 27 units 20 ended in the first 1500 s, so that the 6 that wait would take 450 s more."""
    todo, begun = _Queue(units(27), Room()), []
    for _ in range(20):
        todo.give_back(todo.take(None)[0])
    todo.take(None)
    todo._begun -= 1500.0
    further = threading.Thread(target=lambda: begun.append(todo.outlast(1000.0)), daemon=True)
    further.start()
    further.join(0.2)
    assert further.is_alive()
    todo._begun -= 6000.0  # at 375 s a unit, they would take 2250 s
    todo.give_back("")  # wakes who waits
    further.join(60)
    assert begun


@pytest.mark.parametrize("end", ["take", "clear"])
def test_who_waits_to_begin_goes_where_nothing_waits_any_more(end):
    todo = _Queue(units(1), Room())
    further = threading.Thread(target=todo.outlast, args=(1000.0,), daemon=True)
    further.start()
    todo.clear() if end == "clear" else todo.give_back(todo.take(None)[0])
    further.join(60)
    assert not further.is_alive()


def test_each_process_gets_one_card(monkeypatch):
    planned = units(8)
    processes = Processes({}, 2)
    monkeypatch.setattr(executor, "UnitProcess", processes)
    list(LocalExecutor(None, 2, Room(cards=("0", "GPU-7"))).run(planned))
    assert set(processes.cards) == {"0", "GPU-7"}


@pytest.mark.parametrize(
    ("named", "found"), [("0,1", ("0", "1")), ("GPU-a, 3", ("GPU-a", "3")), ("", ()), ("-1", ()), ("0,-1", ("0",))]
)
def test_cards_are_those_that_the_process_may_use(monkeypatch, named, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert room.cards() == found


@pytest.mark.parametrize(
    ("cores", "threads", "workers"), [(16, 1, 4), (8, 4, 2), (2, 4, 1), (3, 1, 3), (1, 1, 1), (16, 8, 2)]
)
def test_threads_are_divided_among_workers(monkeypatch, cores, threads, workers):
    monkeypatch.setattr(room, "cores", lambda: cores)
    assert room.default_workers(threads, "cpu") == workers
    assert workers * threads <= max(cores, threads)


def test_one_worker_for_each_card(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert room.default_workers(1, "cuda") == 3


def test_a_need_is_what_is_declared_or_was_seen_whatever_is_more():
    class Declaring:
        def memory(self, unit):
            return {"s0": 2.0, "s1": 5.0}.get(unit.study)

        def workload(self, units):
            return Workload()

    planned = units(4)
    first, second, third, _ = planned
    past = Earlier({first: 3.0, second: 1.0, third: 0.5, "gone": 9.0}, {third: 20.0})
    found = room.room_for(Declaring(), planned, "cpu", past)
    assert found.needs == {first: 3.0, second: 5.0, third: 0.5}
    assert found.seconds == {third: 20.0}
    assert found.cards == ()
    assert found.memory is None or found.memory > 0


def test_units_of_a_model_are_begun_in_turns():
    """m0 has s0, s3, s6; m1 has s1, s4; m2 has s2, s5: where a turn has none left of a model, the next model is at it."""
    planned = units(7, models=3)
    assert [planned[key].study for key in in_turns(planned)] == ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]
    grouped = dict(sorted(planned.items(), key=lambda each: each[1].model))
    assert [unit.study for unit in grouped.values()] == ["s0", "s3", "s6", "s1", "s4", "s2", "s5"]
    assert [grouped[key].study for key in in_turns(grouped)] == ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]
    assert in_turns({}) == []


def test_a_process_goes_on_with_its_model_and_else_begins_one_that_nobody_has():
    waiting, planned = Waiting(units(6, models=3), Room()), units(6, models=3)
    first, second = waiting.take(None), waiting.take(None)
    assert [planned[key].study for key in (first, second)] == ["s0", "s1"]
    assert planned[waiting.take("m0")].study == "s3", "of its model"
    assert planned[waiting.take("m0")].study == "s2", "of a model that nobody has begun"
    assert [planned[waiting.take("m0")].study for _ in range(2)] == ["s4", "s5"], "what is left of others"
    assert waiting.take("m0") is None
    assert not waiting


def test_models_that_take_longest_are_begun_first():
    """m0 has s0 and s3, m1 has s1 and s4, m2 has s2 and s5."""
    planned = units(6, models=3)
    took = dict(zip(planned, (1.0, 2.0, 4.0, 1.5, 2.0), strict=False))  # of s5 nothing is known
    waiting = Waiting(planned, Room(seconds=took))
    first, second = waiting.take(None), waiting.take(None)
    assert [planned[key].study for key in (first, second)] == ["s1", "s2"], "of 4 s each, the one that is planned first"
    assert planned[waiting.take("m2")].study == "s5", "a process goes on with its model"
    assert [planned[waiting.take("m2")].study for _ in range(3)] == ["s0", "s4", "s3"]
    assert not waiting


@pytest.mark.parametrize(("seconds", "together"), [(100.0, 2), (0.0, 1)])
def test_a_second_process_is_started_at_once_where_units_are_known_to_take_long(monkeypatch, seconds, together):
    planned = units(2)
    processes = Processes({}, 2, patience=20.0 if together == 2 else 0.1)
    monkeypatch.setattr(executor, "UnitProcess", processes)
    local = LocalExecutor(None, 2, Room(seconds=dict.fromkeys(planned, seconds)))
    local._patience = 60.0  # as if the start had taken so long
    assert len(list(local.run(planned))) == 2
    assert max(map(len, processes.seen)) == together


def test_what_fits_goes_before_what_does_not():
    planned = units(3, models=3)
    big, middle, small = planned
    waiting = Waiting(planned, Room(4.0, {big: 4.0, middle: 3.0, small: 1.0}))
    assert [waiting.take(None), waiting.take(None)] == [big, None]
    waiting.give_back(big)
    assert [waiting.take(None), waiting.take(None), waiting.take(None)] == [middle, small, None]
    assert not waiting
