"""What the gate finds out about a campaign: queries that no honest run has, and effort that they do not reveal."""

import numpy as np
import pytest

from harness.data.catalog import find_protocol
from harness.methods.discovery import find_method
from harness.spec.run import RunSpec
from harness.tracks.query.learners import open_learner
from harness.tracks.query.track import QueryTrack
from harness.tracks.summary import records
from tests.tracks.support import audited


@pytest.fixture(scope="module")
def track():
    return QueryTrack(find_protocol("query-mnist@2"), find_method("random-sampling").spec)


@pytest.fixture(scope="module")
def unit(track):
    spec = RunSpec(
        task="query",
        benchmark="query-mnist@2",
        benchmark_hash=track.protocol.hash,
        method=track.method,
        metric_versions=track.metric_versions(),
        submittable=True,
    )
    return next(unit for unit in track.units(spec) if unit.study == "low")


@pytest.fixture
def outputs(track, unit):
    """A campaign of random queries, with predictions that are right three times in four."""
    setting = track.settings[unit.study]
    learner, rng = open_learner(setting, unit.model_seed), np.random.default_rng(0)
    picks = [learner.start()]
    while len(picks) < setting.study.loops:
        free = np.setdiff1d(np.arange(3000), np.concatenate(picks))
        picks.append(rng.choice(free, (setting.study.query, 1), replace=False))
    efforts = [learner.effort(picks[: loop + 1]) for loop in range(len(picks))]
    targets = setting.targets()
    wrong = rng.random((len(picks), len(targets))) < 0.25
    return {
        **{f"picks.{loop}": each for loop, each in enumerate(picks)},
        "evaluation.predictions": np.where(wrong, (targets + 1) % 10, targets).astype(np.uint8),
        **{f"effort.{name}": np.stack([each[name] for each in efforts]) for name in efforts[0]},
    }


def problems(track, unit, outputs):
    return audited(track, unit, outputs).problems


def test_an_honest_campaign_has_no_problems(track, unit, outputs):
    audit = audited(track, unit, track.submitted(outputs))
    assert audit.problems == ()
    assert audit.records == records(track.measure(unit, outputs))
    assert set(audit.as_reported) == {record.metric for record in audit.records} - {"annotated_images"}


def test_another_start_is_found(track, unit, outputs):
    outputs["picks.0"] = outputs["picks.0"][::-1]
    assert problems(track, unit, outputs) == (
        "the picks of loop 0 are no valid query: it is not the start that every strategy has",
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (lambda outputs: outputs["picks.0"][0], "it holds images that are not in the pool or were labelled before"),
        (lambda outputs: [3000], "it holds images that are not in the pool or were labelled before"),
        (lambda outputs: outputs["picks.2"][1], "more than once"),
    ],
)
def test_invalid_queries_are_found(track, unit, outputs, row, sentence):
    outputs["picks.2"][0] = row(outputs)
    (found,) = problems(track, unit, outputs)
    assert found.startswith("the picks of loop 2 are no valid query: ")
    assert sentence in found


def test_effort_that_the_queries_do_not_reveal_is_found(track, unit, outputs):
    outputs["effort.labels"] = np.roll(outputs["effort.labels"], 1, axis=1)
    assert problems(track, unit, outputs) == ("the queries reveal other amounts of labels than the submission says",)
