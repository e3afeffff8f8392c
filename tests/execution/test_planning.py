"""What names a run, and which wishes are refused before anything runs."""

import dataclasses
import math

import pytest

from harness.data.catalog import find_protocol
from harness.execution.evaluate import Request, prepare, resolve_device
from harness.execution.method_process import Limits
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of
from harness.storage import content_id

from .support import HONEST, request_one, write_table


@pytest.fixture
def asked(tmp_path):
    return request_one(tmp_path, HONEST)


def plan_of(asked, **changes):
    return prepare(dataclasses.replace(asked, **changes)).plan


@pytest.mark.parametrize(
    "change", [{"workers": 3}, {"timeout": 1.0}, {"memory": 0.5}, {"fresh": True}, {"device": "auto"}]
)
def test_what_changes_no_number_is_not_in_the_name(asked, change):
    assert plan_of(asked, **change).id == plan_of(asked).id
    assert plan_of(asked, **change).units == plan_of(asked).units


@pytest.mark.parametrize("name", ["confidence-mnist@2", "query-nnactive@1", "attribution-mnist@1", "meta-mnist@1"])
def test_an_id_is_that_of_the_units_content(name):
    protocol = find_protocol(name)
    method = kind_of(protocol.benchmark.task).simple_method
    units = prepare(Request(method, name, device="cpu", limit=7, seed=3)).plan.units
    assert units
    assert list(units) == [content_id(unit.canonical()) for unit in units.values()]


def test_the_place_is_not_in_the_name(asked, tmp_path):
    plan = plan_of(asked, out=tmp_path / "elsewhere")
    assert plan.id == plan_of(asked).id
    assert plan.folder == tmp_path / "elsewhere" / plan_of(asked).folder.name


@pytest.mark.parametrize("change", [{"seed": 1}, {"limit": 10}])
def test_what_may_change_a_number_names_another_run(asked, change):
    assert plan_of(asked, **change).id != plan_of(asked).id
    assert not set(plan_of(asked, **change).units) & set(plan_of(asked).units)


def test_so_does_the_source_of_the_method_down_to_a_space(asked, tmp_path):
    before = plan_of(asked)
    (tmp_path / "zoo.py").write_bytes(before.source + b"\n")
    after = plan_of(asked)
    assert after.id != before.id
    assert not set(after.units) & set(before.units)


def test_so_does_the_benchmark(asked, tmp_path):
    before = plan_of(asked)
    path = tmp_path / "benchmark" / "benchmark.toml"
    path.write_text(path.read_text().replace("replicates = 20", "replicates = 21"))
    assert plan_of(asked).id != before.id
    assert not set(plan_of(asked).units) & set(before.units)


def test_a_changed_table_makes_other_units(asked, tmp_path):
    before = plan_of(asked)
    write_table(tmp_path / "benchmark" / "m0.npz", seed=99)
    assert not set(plan_of(asked).units) & set(before.units)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"device": "tpu"}, "--device tpu is not known; use auto, cpu or cuda."),
        ({"limit": 0}, "--limit must be a whole number of at least 1, it is 0."),
        ({"workers": -1}, "--workers must be a whole number of at least 1, it is -1."),
        ({"timeout": 0.0}, "--timeout must be a positive number, it is 0."),
        ({"timeout": math.nan}, "--timeout must be a positive number, it is nan."),
        ({"memory": -1.0}, "--memory must be a positive number, it is -1."),
        ({"memory": math.inf}, "--memory must be a positive number, it is inf."),
        ({"memory": 2.0**21}, "--memory 2.09715e+06 is more GiB than any machine has."),
    ],
)
def test_a_wish_without_meaning_is_refused(asked, change, sentence):
    with pytest.raises(UsageError) as raised:
        plan_of(asked, **change)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("where", "here"),
    [
        ({}, True),
        ({"executor": "dask"}, True),
        ({"executor": "dask", "cluster": "slurm"}, False),
        ({"executor": "dask", "cluster": "tcp://head:8786"}, False),
    ],
)
def test_units_have_at_most_the_cores_of_this_machine_and_batch_systems_have_theirs(asked, monkeypatch, where, here):
    if where:
        pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr("harness.execution.evaluate.cores", lambda: 4)
    few, many = (dataclasses.replace(asked, threads=threads, **where) for threads in (4, 5))
    assert prepare(few).limits.threads == 4
    assert prepare(many, elsewhere=True).limits.threads == 5
    if here:
        with pytest.raises(UsageError, match="--threads 5 is more than this machine has cores to give: 4"):
            prepare(many)
    else:
        assert prepare(many).limits.threads == 5


@pytest.mark.parametrize(
    ("driver", "gpu", "device", "resolved"),
    [
        (False, False, "cpu", "cpu"),
        (True, True, "cpu", "cpu"),
        (False, False, "auto", "cpu"),
        (True, False, "auto", "cpu"),
        (True, True, "auto", "cuda"),
        (True, True, "cuda", "cuda"),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(monkeypatch, driver, gpu, device, resolved):
    import torch

    exists = "harness.execution.evaluate.Path.exists"
    monkeypatch.setattr(exists, lambda path: driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert resolve_device(device) == resolved


def test_a_missing_gpu_is_a_mistake_only_if_it_was_asked_for(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="use --device cpu"):
        resolve_device("cuda")


def test_limits_are_data():
    assert Limits() == Limits(300.0, 8.0, 1, "cpu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().seconds = 1.0
