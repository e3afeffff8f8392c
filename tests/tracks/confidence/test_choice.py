"""Which configuration counts: by hand, on made-up answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from harness.metrics import augrc
from harness.tracks.base import Measurement
from harness.tracks.confidence.choice import chosen_models
from harness.tracks.confidence.scoring import JudgedConfidence, confidence_scores
from tests.spec.test_released import experiment, spec, taken


class AskedOnValidation(NamedTuple):
    model: str
    study: str = "choice"


FAILURES = np.array([1.0, 0.0, 0.0, 0.0])


def judged(failure_rank):
    """Four answers of which the failure has the so-manieth lowest confidence: AUGRC grows with the rank."""
    confidence = np.array([failure_rank, *[rank for rank in range(4) if rank != failure_rank]], dtype=np.float32)
    return JudgedConfidence(confidence, FAILURES, np.zeros(4, int), np.ones(4, bool), np.zeros(4, int))


def choose(ranks, family="plain", change=lambda fields: None, study="iid"):
    """The models that count in a study, where `ranks` says by model how badly it did on the validation set."""
    benchmark = spec(change)
    models = tuple(model for model in benchmark.source.models if model.family == family)
    measured = {
        AskedOnValidation(name): Measurement(
            confidence_scores(benchmark.metrics, judged(rank), benchmark.bootstrap, "choice")
        )
        for name, rank in ranks.items()
    }
    found = chosen_models(benchmark, models, measured)
    return [model.id for model in found[study]]


PLAIN = [f"one-plain-do{dropout}-rew2.2-run{run}" for dropout in (0, 1) for run in (1, 2)]


def test_the_mean_over_runs_decides_not_the_best_run():
    assert choose(dict(zip(PLAIN, (0, 3, 1, 1), strict=True))) == PLAIN[2:]
    assert choose(dict(zip(PLAIN, (0, 1, 1, 1), strict=True))) == PLAIN[:2]


def test_rank_and_augrc_agree_in_direction():
    values = [augrc(judged(rank).confidence, FAILURES) for rank in range(4)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_of_equal_configurations_the_first_counts():
    assert choose(dict.fromkeys(PLAIN, 2)) == PLAIN[:2]


def test_nothing_counts_while_an_answer_on_validation_is_missing():
    assert choose(dict(zip(PLAIN[:3], (0, 0, 3), strict=True))) == []


def test_a_metric_that_is_better_when_higher_is_maximised():
    def auroc(fields):
        fields.update(primary="failure_auroc", metrics=["failure_auroc"])

    assert choose(dict(zip(PLAIN, (3, 3, 0, 1), strict=True)), change=auroc) == PLAIN[2:]


def test_rewards_are_chosen_within_a_head():
    names = ["one-dg-do1-rew2.2-run1", "one-dg-do1-rew3-run1"]
    assert choose(dict(zip(names, (2, 1), strict=True)), family="dg") == names[1:]


def test_without_configurations_all_models_count():
    def one_only(fields):
        fields["studies"].pop(0)
        for each in fields["source"]["experiments"]:
            each["grids"] = [{"family": "plain", "rewards": [2.2], "runs": [1, 2], "dropout": [True]}]

    assert choose({}, change=one_only) == PLAIN[2:]


@pytest.mark.parametrize("rank", [0, 3])
def test_a_metric_that_is_defined_for_no_configuration_chooses_nothing(rank):
    def calibration(fields):
        fields.update(primary="ece", metrics=["ece"])  # confidences beyond 1 are no probabilities

    assert choose(dict.fromkeys(PLAIN, rank), change=calibration) == []


# learning rates, and choices of another training set -----------------------------------------------

RATES = {False: (0.001, 0.003, 0.01), True: (0.003, 0.01)}


def sweep(fields):
    """Vision transformers of iWildCam: other rates with dropout than without."""
    experiment(fields)["grids"] = [
        {"family": "vit", "dropout": [dropout], "rewards": [2.2, 3], "learning_rates": list(rates), "runs": [0, 1]}
        for dropout, rates in RATES.items()
    ]
    fields["default_family"] = "vit"


def as_filtered_by_the_authors(values):
    """Names of the networks that count, by data frames: `values` by name, lower is better.

    A best rate for each dropout and reward by the mean over runs; every row of one of these rates stays. Then the best
    reward and dropout by the mean over all rows that stay.
    """
    import pandas as pd

    names = pd.Series(list(values))
    parts = names.str.extract(r"do(?P<dropout>\d)-rew(?P<reward>[\d.]+)-lr(?P<rate>[\d.]+)-run").astype(float)
    rows = parts.assign(name=names, value=list(values.values()))
    means = rows.groupby(["reward", "dropout", "rate"]).value.mean().reset_index()
    kept = means.loc[means.groupby(["reward", "dropout"]).value.idxmin()].rate
    rows = rows[rows.rate.isin(kept)]
    means = rows.groupby(["reward", "dropout"]).value.mean().reset_index()
    best = means.loc[means.value.idxmin()]
    return rows[(rows.reward == best.reward) & (rows.dropout == best.dropout)].name.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_learning_rates_are_chosen_as_by_the_authors(seed):
    models = [model.id for model in spec(sweep).source.models]
    assert len(models) == (3 + 2) * 2 * 2
    ranks = dict(zip(models, np.random.default_rng(seed).integers(4, size=len(models)).tolist(), strict=True))
    values = {name: augrc(judged(rank).confidence, FAILURES) for name, rank in ranks.items()}
    assert sorted(choose(ranks, "vit", sweep)) == sorted(as_filtered_by_the_authors(values))


def test_a_rate_that_is_best_for_another_dropout_is_kept():
    """By hand: without dropout 0.001 is best, with it 0.01; so 0.01 stays without dropout, and both rates count."""

    def one_reward(fields):
        sweep(fields)
        for grid in experiment(fields)["grids"]:
            grid["rewards"] = [0]

    ranks = {"do0-lr0.001": 0, "do0-lr0.003": 3, "do0-lr0.01": 1, "do1-lr0.003": 3, "do1-lr0.01": 2}
    named = {
        f"one-vit-{name.replace('-lr', '-rew0-lr')}-run{run}": rank for name, rank in ranks.items() for run in (0, 1)
    }
    expected = [name for name in named if "do0" in name and "lr0.003" not in name]
    assert choose(named, "vit", one_reward) == expected


def test_a_choice_that_is_taken_over_is_that_of_the_other_validation_set():
    ranks = dict(zip(PLAIN, (3, 3, 0, 1), strict=True))
    assert choose(ranks, change=taken, study="far") == [name.replace("one", "two") for name in PLAIN[2:]]
    assert choose(dict(zip(PLAIN[:3], (0, 0, 3), strict=True)), change=taken, study="far") == []


def test_without_a_choice_all_configurations_count():
    ranks = dict(zip(PLAIN, (3, 3, 0, 1), strict=True))
    averaged = choose(ranks, change=lambda fields: taken(fields, "none"), study="far")
    assert averaged == [name.replace("one", "two") for name in PLAIN]
