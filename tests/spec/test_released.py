"""Studies of many networks as data: what grids expand to, and what is refused."""

from __future__ import annotations

import copy

import pytest
from pydantic import ValidationError

from harness.spec.benchmark import ConfidenceBenchmark

SETS = [
    {"id": "val", "dataset": "images", "part": "test", "rows": [0, 10]},
    {"id": "test", "dataset": "images", "part": "test", "rows": [10]},
]
EXPERIMENT = {
    "id": "one",
    "classes": 10,
    "network": "vgg13",
    "weights": "weights",
    "checkpoint": "one/{family}_do{dropout}_run{run}_rew{reward}/last.ckpt",
    "images": {"mean": [0.5], "std": [0.2]},
    "reference": {"validation": "val"},
    "grids": [
        {"family": "plain", "rewards": [2.2], "runs": [1, 2]},
        {"family": "dg", "head": "deep-gamblers", "rewards": [2.2, 3.0], "runs": [1], "dropout": [True]},
    ],
    "sets": SETS,
}
BENCHMARK = {
    "id": "study",
    "version": 1,
    "title": "A study",
    "task": "confidence",
    "default_family": "plain",
    "metrics": ["augrc"],
    "source": {"kind": "released", "experiments": [EXPERIMENT]},
    "studies": [
        {"id": "choice", "kind": "selection", "samples": "val", "group": "choice"},
        {"id": "iid", "kind": "iid", "samples": "test", "group": "iid"},
    ],
}


def spec(change=lambda fields: None):
    fields = copy.deepcopy(BENCHMARK)
    change(fields)
    return ConfidenceBenchmark.model_validate(fields)


def second(fields):
    """Another experiment with a set and a study of its own; nothing to choose."""
    other = copy.deepcopy(EXPERIMENT) | {
        "id": "two",
        "reference": {},
        "grids": [{"family": "plain", "rewards": [2.2], "runs": [1], "dropout": [False]}],
        "sets": [{"id": "far", "dataset": "images", "part": "far"}],
    }
    fields["source"]["experiments"].append(other)
    fields["studies"].append({"id": "far", "kind": "domain-shift", "samples": "far", "group": "far"})


def test_a_grid_is_every_combination_and_names_each_checkpoint():
    models = spec().source.models
    assert [each.id for each in models] == [
        "one-plain-do0-rew2.2-run1",
        "one-plain-do0-rew2.2-run2",
        "one-plain-do1-rew2.2-run1",
        "one-plain-do1-rew2.2-run2",
        "one-dg-do1-rew2.2-run1",
        "one-dg-do1-rew3-run1",
    ]
    assert models[1].checkpoint == "one/plain_do0_run2_rew2.2/last.ckpt"
    assert models[-1].checkpoint == "one/dg_do1_run1_rew3/last.ckpt"
    assert [each.configuration for each in models[:3]] == ["do0-rew2.2", "do0-rew2.2", "do1-rew2.2"]
    assert (models[-1].head, models[-1].seed, models[-1].dropout) == ("deep-gamblers", 1, True)


def test_a_study_is_asked_of_the_models_of_its_experiment_only():
    benchmark = spec(second)
    one, two = benchmark.source.models[0], benchmark.source.models[-1]
    assert [study.id for study in benchmark.studies_of(one)] == ["choice", "iid"]
    assert [study.id for study in benchmark.studies_of(two)] == ["far"]
    assert benchmark.reference_of(one).validation == "val"
    assert benchmark.reference_of(two).sets == ()
    assert [study.id for study in benchmark.compared] == ["iid", "far"]


def refused(change, match):
    with pytest.raises(ValidationError, match=match):
        spec(change)


def experiment(fields):
    return fields["source"]["experiments"][0]


def test_what_cannot_be_meant_is_refused():
    refused(lambda f: f["studies"].pop(0), "has 0 selection studies")
    refused(lambda f: experiment(f).update(reference={"validation": "test"}), "is both reference and test set")
    refused(lambda f: experiment(f).update(reference={"validation": "nothing"}), "not one of its own")
    refused(lambda f: experiment(f).update(checkpoint="../{run}/last.ckpt"), "stays inside")
    refused(lambda f: experiment(f).update(checkpoint="/{run}/last.ckpt"), "stays inside")
    refused(lambda f: experiment(f).update(checkpoint="{lr}/last.ckpt"), "its path may use")
    refused(lambda f: experiment(f).update(checkpoint="{}/last.ckpt"), "its path may use")
    refused(lambda f: experiment(f).update(images={"mean": [0.5], "std": [0.0]}), "greater than 0")
    refused(lambda f: experiment(f).update(images={"mean": [0.5], "std": [1, 1, 1]}), "mean has 1 channels, std 3")
    refused(lambda f: f.update(reference={"validation": "val"}), "reference of its own")
    refused(lambda f: f["source"]["experiments"].append(experiment(f)), "defined more than once")


def test_rows_that_overlap_or_are_empty_are_refused():
    refused(lambda f: experiment(f)["sets"][1].update(rows=[9]), "val and the set test share samples")
    refused(lambda f: experiment(f)["sets"][1].pop("rows"), "val and the set test share samples")
    refused(lambda f: experiment(f)["sets"][1].update(rows=[10, 10]), "is empty")
    refused(lambda f: experiment(f)["sets"][1].update(severity=1, shuffle=0), "no layout")


def test_a_study_does_not_mix_experiments():
    def mixed(fields):
        second(fields)
        fields["studies"].append(
            {"id": "mixed", "kind": "new-class", "samples": "test", "unknown": "far", "group": "mixed"}
        )

    refused(mixed, "study mixed mixes sets of several experiments")


def test_a_choice_needs_configurations():
    tables = {
        "kind": "table",
        "holds": "logits",
        "values": "logits",
        "models": [{"id": "m", "family": "plain", "table": {"path": "m.npz"}}],
        "sets": {"val": {"rows": [0, 5]}, "test": {"rows": [5, 9]}},
    }
    refused(lambda f: f.update(source=tables), "only models of grids have configurations")


def rates(fields):
    """Learning rates in the place of a reward: two without dropout, one with it."""
    one = experiment(fields)
    one["checkpoint"] = "one/{family}_lr{rate}_do{dropout}_run{run}_rew{reward}/last.ckpt"
    one["grids"] = [
        {"family": "plain", "dropout": [False], "rewards": [0], "learning_rates": [0.0003, 0.01], "runs": [0]},
        {"family": "plain", "dropout": [True], "rewards": [0], "learning_rates": [0.01], "runs": [0]},
    ]


def test_learning_rates_are_part_of_a_configuration_and_of_the_path():
    models = spec(rates).source.models
    assert [each.id for each in models] == [
        "one-plain-do0-rew0-lr0.0003-run0",
        "one-plain-do0-rew0-lr0.01-run0",
        "one-plain-do1-rew0-lr0.01-run0",
    ]
    assert models[0].checkpoint == "one/plain_lr0.0003_do0_run0_rew0/last.ckpt"
    assert [(each.reward, each.learning_rate) for each in models] == [(0, 0.0003), (0, 0.01), (0, 0.01)]


def test_fields_that_came_later_are_no_part_of_the_data_of_who_does_not_use_them():
    """So that the hash of a released version stays."""
    data = spec().canonical()["source"]["experiments"][0]
    assert not {"choice", "default_family", "open_set"} & set(data)
    assert not any("learning_rates" in grid for grid in data["grids"])
    assert "interpolation" not in data["images"]
    used = spec(rates).canonical()["source"]["experiments"][0]
    assert used["grids"][0]["learning_rates"] == [0.0003, 0.01]


def taken(fields, choice="one"):
    """A second experiment with the same grids and without a validation set, which takes over the choice of the first."""
    other = copy.deepcopy(EXPERIMENT) | {"id": "two", "reference": {}, "choice": choice}
    other["sets"] = [{"id": "far", "dataset": "images", "part": "far"}]
    fields["source"]["experiments"].append(other)
    fields["studies"].append({"id": "far", "kind": "domain-shift", "samples": "far", "group": "far"})


def test_a_choice_may_be_taken_over_or_left_out():
    assert spec(taken).source.experiments[1].choice == "one"
    assert spec(lambda f: taken(f, "none")).source.experiments[1].choice == "none"


def test_choices_that_nobody_makes_are_refused():
    refused(lambda f: taken(f, "own"), "experiment two has 0 selection studies")
    refused(lambda f: taken(f, "three"), "takes the choice of 'three', but only these are defined: one")
    refused(lambda f: taken(f, "two"), "takes the choice of 'two', but only these are defined: one")

    def other_rewards(fields):
        taken(fields)
        fields["source"]["experiments"][1]["grids"][1]["rewards"] = [6]

    refused(other_rewards, "which has no dg of dropout 1, reward 6")
    refused(lambda f: experiment(f).update(choice="none"), "experiment one has 1 selection studies")
    refused(lambda f: experiment(f).update(id="none"), "take another id")


def test_networks_that_methods_without_a_head_run_on_may_differ_by_experiment():
    def other(fields):
        taken(fields)
        fields["source"]["experiments"][1]["default_family"] = "dg"

    benchmark = spec(other)
    by_default = [model.id for model in benchmark.source.models if benchmark.runs_by_default(model)]
    assert by_default[-1] == "two-dg-do1-rew3-run1"
    assert {name.split("-")[1] for name in by_default if name.startswith("one")} == {"plain"}
    refused(lambda f: experiment(f).update(default_family="big"), "default_family is 'big'")


def open_set(fields, kind="open-set"):
    """The second experiment is of networks that were trained without some classes."""
    taken(fields, "none")
    fields["source"]["experiments"][1]["open_set"] = True
    fields["studies"][-1]["kind"] = kind


def test_open_sets_are_of_networks_that_were_trained_without_some_classes():
    assert spec(open_set).source.experiments[1].open_set
    refused(lambda f: open_set(f, "domain-shift"), "kind open-set belongs to experiments with `open_set = true`")
    refused(lambda f: f["studies"][1].update(kind="open-set"), "kind open-set belongs to experiments with `open_set")
