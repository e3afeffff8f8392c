"""Every score that FD-Shifts' own code gave on synthetic outputs, beside ours: values, order and AUGRC."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import rankdata

from harness.methods.discovery import find_method
from harness.metrics import augrc, aurc
from tests.oracles import oracle

from .tasks import Task, confidence

ORACLE = oracle("fdshifts_scores")
ARRAYS = dict(np.load(Path(__file__).parents[1] / "oracles" / ORACLE["arrays_file"]))
CLASSES = ORACLE["constants"]["classes"]

OF_ANY_NETWORK = {
    "det_mcp": "msr",
    "det_pe": "pe",
    "det_mls": "mls",
    "temp_mls": "temperature-mls-fd-shifts",
    "energy_mls": "energy",
    "mcd_mcp": "mcd-msr",
    "mcd_pe": "mcd-pe",
    "mcd_ee": "mcd-ee",
    "mcd_mi": "mcd-mi",
    "mcd_sv": "mcd-variance",
    "mcd_mls": "mcd-mls",
    "maha": "mahalanobis-fd-shifts",
    "dknn": "knn-fd-shifts",
    "vim": "vim-fd-shifts",
    "react_det_mcp": "react-msr-fd-shifts",
    "react_det_mls": "react-mls-fd-shifts",
    "react_temp_mls": "react-temperature-mls-fd-shifts",
    "react_energy_mls": "react-energy-fd-shifts",
}
NAMES = {f"plain.{theirs}": ours for theirs, ours in OF_ANY_NETWORK.items()}
NAMES |= {f"dg.{theirs}": f"dg-{ours}" for theirs, ours in OF_ANY_NETWORK.items()}
NAMES |= {"dg.dg": "dg-residual", "dg.dg_mcd": "dg-mcd-residual"}

SINGLE = ("maha", "dknn", "vim", "react")
"""Scores whose logits or distances their code computes in float32. That of react_det_mcp ends in a float64 soft-max of
such logits, so it is held to what they allow the logits."""


def task(network):
    shared = {"weight": ARRAYS[f"{network}_weight"], "bias": ARRAYS[f"{network}_bias"]}
    if network == "dg":
        reservation = {f"reservation_{name}": rows[CLASSES:] for name, rows in shared.items()}
        shared = {name: rows[:CLASSES] for name, rows in shared.items()} | reservation
    parts = {part: outputs(network, part) for part in ("validation", "test")}
    train = {"features": ARRAYS["features_train"], "labels": ARRAYS["labels_train"]}
    return Task.of(parts["test"], shared, train, parts["validation"])


def outputs(network, part):
    """As a source offers them: logits of the classes, and of a DeepGamblers network what the reservation leaves."""
    logits, members = ARRAYS[f"{network}_outputs_{part}"], ARRAYS[f"{network}_mc_outputs_{part}"]
    found = {
        "logits": logits[:, :CLASSES],
        "mc_logits": members[:, :, :CLASSES],
        "features": ARRAYS[f"features_{part}"],
        "labels": ARRAYS[f"labels_{part}"],
    }
    if network == "dg":
        found["head_confidence"] = 1 - softmax(logits.astype(np.float64), axis=1)[:, CLASSES]
        found["mc_head_confidence"] = 1 - softmax(members.astype(np.float64), axis=2)[:, :, CLASSES]
    return found


def theirs(name):
    """Their score, higher = more confident, before Platt scaling."""
    about = ORACLE["scores"][name]
    values = ARRAYS.get(f"raw.{name}", ARRAYS[f"final.{name}"])
    return values if about["higher_raw_is_more_confident"] else -values


def failures(name):
    """Wrong predictions of the classifier that a score is about."""
    given = outputs(name.partition(".")[0], "test")
    probabilities = softmax(given["mc_logits"].astype(np.float64), axis=2).mean(0) if "mcd" in name else given["logits"]
    return (probabilities.argmax(1) != given["labels"]).astype(float)


def test_each_score_of_the_oracle_is_compared():
    assert NAMES.keys() == ORACLE["scores"].keys()
    assert len(NAMES) == 38


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_theirs(name):
    found, expected = confidence(NAMES[name], task(name.partition(".")[0])), theirs(name)
    single = name.partition(".")[2].startswith(SINGLE)
    if single:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    moved = np.abs(rankdata(found) - rankdata(expected))
    assert moved.max() <= single, "float32 may swap neighbours that it hardly tells apart"
    assert np.count_nonzero(moved) <= 2 * single


@pytest.mark.parametrize("name", NAMES)
def test_it_is_worth_what_their_metrics_say(name):
    metrics, wrong = ORACLE["scores"][name]["fdshifts_metrics_of_final"], failures(name)
    assert 1 - wrong.mean() == pytest.approx(ORACLE["scores"][name]["accuracy_of_its_classifier"])
    found = confidence(NAMES[name], task(name.partition(".")[0]))
    assert 1000 * augrc(found, wrong) == pytest.approx(metrics["augrc_x1000"], abs=1e-9)
    assert 1000 * aurc(found, wrong) == pytest.approx(metrics["aurc_x1000"], abs=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("dg.")])
def test_scores_of_deep_gamblers_are_for_such_networks_alone(name):
    spec = find_method(NAMES[name]).spec
    assert spec.head == "deep-gamblers"
    assert spec.classifier == ("mc-mean" if "mcd" in name else "point")


@pytest.mark.parametrize(
    ("variant", "reading"),
    [
        ("react_det_mcp", "react-msr-fd-shifts"),
        ("react_det_mls", "react-mls-fd-shifts"),
        ("react_energy_mls", "react-energy-fd-shifts"),
        ("react_temp_mls", "react-temperature-mls-fd-shifts"),
    ],
)
def test_without_the_reservation_it_would_be_another_score(variant, reading):
    """Their functions can leave the reservation out, which nothing of theirs asks for: that is the score of any network."""
    cut = ARRAYS[f"variant.dg.{variant}.is_dg"]
    np.testing.assert_allclose(confidence(reading, task("dg")), cut, rtol=1e-4, atol=1e-5)
    assert np.abs(confidence(f"dg-{reading}", task("dg")) - cut).max() > 1e-3


def test_the_reservation_takes_part_in_their_vim():
    found = confidence("dg-vim-fd-shifts", task("dg"))
    for other in (ARRAYS["variant.dg.vim.is_dg"], confidence("vim-fd-shifts", task("dg"))):
        assert np.abs(found - other).max() > 0.1


@pytest.mark.parametrize("network", ["plain", "dg"])
def test_the_temperature_is_where_their_optimiser_leaves_it(network):
    from harness.methods.baselines.confidence.temperature_mls import fd_shifts_temperature
    from harness.methods.outputs import LabelledOutputs

    validation = LabelledOutputs(outputs(network, "validation"))
    found = fd_shifts_temperature(validation.logits, validation.labels)
    assert found == pytest.approx(ORACLE["scores"][f"{network}.temp_mls"]["temperature"], rel=1e-6)
