"""Which configuration counts: by hand, on made-up answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from harness.metrics import augrc
from harness.tracks.base import Measurement
from harness.tracks.confidence.choice import chosen_models
from harness.tracks.confidence.scoring import JudgedConfidence, confidence_scores
from tests.spec.test_released import spec


class AskedOnValidation(NamedTuple):
    model: str
    study: str = "choice"


FAILURES = np.array([1.0, 0.0, 0.0, 0.0])


def judged(failure_rank):
    """Four answers of which the failure has the so-manieth lowest confidence: AUGRC grows with the rank."""
    confidence = np.array([failure_rank, *[rank for rank in range(4) if rank != failure_rank]], dtype=np.float32)
    return JudgedConfidence(confidence, FAILURES, np.zeros(4, int), np.ones(4, bool), np.zeros(4, int))


def choose(ranks, family="plain", change=lambda fields: None):
    """The models that count in `iid`, where `ranks` says by model how badly it did on the validation set."""
    benchmark = spec(change)
    models = tuple(model for model in benchmark.source.models if model.family == family)
    measured = {
        AskedOnValidation(name): Measurement(
            confidence_scores(benchmark.metrics, judged(rank), benchmark.bootstrap, "choice")
        )
        for name, rank in ranks.items()
    }
    found = chosen_models(benchmark, models, measured)
    return [model.id for model in found["iid"]]


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
        for experiment in fields["source"]["experiments"]:
            experiment["grids"] = [{"family": "plain", "rewards": [2.2], "runs": [1, 2], "dropout": [True]}]

    assert choose({}, change=one_only) == PLAIN[2:]


@pytest.mark.parametrize("rank", [0, 3])
def test_a_metric_that_is_defined_for_no_configuration_chooses_nothing(rank):
    def calibration(fields):
        fields.update(primary="ece", metrics=["ece"])  # confidences beyond 1 are no probabilities

    assert choose(dict.fromkeys(PLAIN, rank), change=calibration) == []
