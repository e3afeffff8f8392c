"""Inference results of several training sets in one benchmark: each study on the networks of its own."""

from __future__ import annotations

import numpy as np
import pytest

import harness
from harness.data.catalog import find_protocol, load_protocol
from harness.execution.evaluate import Request, prepare
from harness.spec.errors import UsageError
from harness.tracks.confidence.packing import PackRequest, write_pack
from tests.tracks.test_user_sources import FORMULAS, Network

pytestmark = pytest.mark.usefixtures("in_this_process")

GRID = '{ family = "confidnet", head = "confidnet", dropout = [true], rewards = [10.0], runs = [1, 2] }'
BENCHMARK = f"""
id = "two-trainings"
version = 1
title = "Two trainings"
task = "confidence"
default_family = "confidnet"
metrics = ["augrc", "aurc", "failure_auroc"]
bootstrap = {{ replicates = 20 }}
studies = [
    {{ id = "all-iid", kind = "iid", samples = "all-test", group = "all-iid" }},
    {{ id = "all-noise", kind = "covariate-shift", samples = "all-noise", group = "all-noise" }},
    {{ id = "site", kind = "domain-shift", samples = "but-held-out", group = "site" }},
]

[source]
kind = "fd-shifts-study"

[[source.experiments]]
id = "all"
folder = "study/ms_all/{{family}}_bbtiny_run{{run}}"
reference = {{ validation = "all-val" }}
sets = {{ all-val = 0, all-test = 1, all-noise = 2 }}
grids = [{GRID}]

[[source.experiments]]
id = "but"
folder = "study/ms_but/{{family}}_bbtiny_run{{run}}"
reference = {{ validation = "but-val" }}
sets = {{ but-val = 0, but-held-out = 2 }}
grids = [{GRID}]
"""


@pytest.fixture(scope="module")
def networks():
    return {(name, run): Network(10 * run + len(name)) for name in ("all", "but") for run in (1, 2)}


@pytest.fixture(scope="module")
def path(tmp_path_factory, networks):
    root = tmp_path_factory.mktemp("study")
    for (name, run), network in networks.items():
        network.store(root / f"study/ms_{name}/confidnet_bbtiny_run{run}" / "test_results", features=False)
    (root / "benchmark.toml").write_text(BENCHMARK)
    return root / "benchmark.toml"


@pytest.mark.parametrize("method", ["msr", "mcd-pe", "confidnet"])
def test_each_study_is_the_mean_over_the_runs_of_its_training(path, networks, tmp_path, method):
    result = harness.evaluate(method, benchmark=str(path), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    assert len(result.document.units) == 2 * 2 + 1 * 2
    rows = {(row.study, row.metric): row for row in result.document.summary}
    for study, name, theirs in (("all-iid", "all", "iid"), ("all-noise", "all", "noise"), ("site", "but", "noise")):
        expected = []
        for run in (1, 2):
            network = networks[name, run]
            members = np.exp(network.mc_logits.astype(float))
            mean = (members / members.sum(2, keepdims=True)).mean(0)
            predicted = (mean if method == "mcd-pe" else network.logits).argmax(1)
            expected.append(network.expected(FORMULAS[method](network), predicted)[theirs]["augrc"])
        assert rows[study, "augrc"].value == pytest.approx(np.mean(expected), abs=1e-9)
        assert rows[study, "augrc"].seeds == 2


def test_a_study_without_its_folders_is_planned_and_not_run(tmp_path):
    (tmp_path / "benchmark.toml").write_text(BENCHMARK)
    request = Request("msr", str(tmp_path / "benchmark.toml"), out=tmp_path / "runs", workers=1)
    prepared = prepare(request)
    assert len(prepared.plan.units) == 6
    assert prepared.track.workload(list(prepared.plan.units.values())).absent == tuple(
        f"study/ms_{name}/confidnet_bbtiny_run{run}" for name in ("all", "but") for run in (1, 2)
    )
    with pytest.raises(UsageError, match="ms_all/confidnet_bbtiny_run1 does not exist"):
        harness.evaluate("msr", benchmark=request.benchmark, out=tmp_path / "runs", workers=1)


def test_folders_that_come_after_the_plan_are_another_run(tmp_path, networks):
    (tmp_path / "benchmark.toml").write_text(BENCHMARK)
    request = Request("msr", str(tmp_path / "benchmark.toml"), out=tmp_path / "runs", workers=1)
    before = set(prepare(request).plan.units)
    for (name, run), network in networks.items():
        network.store(tmp_path / f"study/ms_{name}/confidnet_bbtiny_run{run}", features=False)
    assert not before & set(prepare(request).plan.units)


def test_the_bundled_study_has_every_network_and_shift():
    benchmark = find_protocol("confidence-silent-failures@1").benchmark
    models = benchmark.source.models
    assert len(models) == 15 * 3 * 3
    assert {model.head for model in models} == {"confidnet", "devries", "deep-gamblers"}
    asked = {model.experiment: len(benchmark.studies_of(model)) for model in models}
    assert sorted(asked.values()) == [1] * 11 + [11] * 3 + [13]
    assert sum(asked.values()) == len(benchmark.studies)
    assert load_protocol(find_protocol("confidence-silent-failures").path).hash


def test_the_bundled_networks_and_sets_are_those_of_the_published_study():
    """518 networks by training set; row totals as the authors' own validator has them, with thinned corruptions."""
    counts = {"animals": 70, "breeds": 28, "camelyon": 120, "cifar100": 90, "cifar10": 60, "super": 90, "svhn": 60}
    totals = {"animals": 50_945, "breeds": 177_592, "camelyon": 118_614, "super": 11_400, "svhn": 56_032}
    totals |= dict.fromkeys(("cifar10", "cifar100"), 806_032 - 750_000 + 75_000)
    for version in (1, 2):
        benchmark = find_protocol(f"confidence-fdshifts@{version}").benchmark
        names = [model.experiment for model in benchmark.source.models]
        assert {name: names.count(name) for name in counts} == counts
        assert len(names) == 518
        assert len({model.checkpoint for model in benchmark.source.models}) == 518
    for experiment in find_protocol("confidence-fdshifts@1").benchmark.source.experiments:
        assert sum(each.count for each in experiment.sets) == totals[experiment.id]


def test_a_study_of_many_trainings_is_not_packed_as_if_it_were_one(tmp_path):
    request = PackRequest(out=tmp_path / "pack", device="cpu")
    with pytest.raises(UsageError, match="a pack cannot say so yet"):
        write_pack(find_protocol("confidence-fdshifts@1"), request)
    assert not (tmp_path / "pack").exists()
