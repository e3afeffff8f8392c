from __future__ import annotations

import pytest
import torch

from harness.metrics.attribution.explanations import Explanations
from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.relative_stability import (
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
)
from harness.metrics.attribution.robustness import MaxSensitivity

from ._worlds import Gradient, world

RELATIVE = (RelativeInputStability, RelativeOutputStability, RelativeRepresentationStability)


@pytest.mark.parametrize("reading", ["corrected", "latec"])
def test_relative_stabilities_ask_once_and_score_the_same(reading):
    given = world("image", samples=20)
    method = Gradient(given.model)
    remembering = Explanations(method)
    for kind in RELATIVE:
        metric = kind(draws=4, reading=reading)
        torch.testing.assert_close(given.score(metric, explain=remembering), given.score(metric), rtol=0, atol=0)
    assert remembering.asked == len(method.inputs) == 20 * 4


def test_what_a_metric_does_not_share_is_asked():
    given = world("image")
    remembering = Explanations(given.explain)
    given.score(RelativeInputStability(draws=4), explain=remembering)
    given.score(RelativeInputStability(draws=4, upper=0.3), explain=remembering)
    given.score(MaxSensitivity(draws=4), explain=remembering)
    assert remembering.asked == 3 * 5 * 4


@pytest.mark.parametrize("kind", RELATIVE)
def test_the_model_runs_once_for_all_methods(kind):
    given = world("image")
    forwards = Forwards(given.model)
    given.score(kind(draws=4), model=forwards)
    once = forwards.count
    given.score(kind(draws=4), model=forwards, maps=given.inputs, explain=lambda x, y, model=None: x)
    assert forwards.count == once


def test_targets_and_types_tell_questions_apart():
    given = world("image")
    remembering = Explanations(given.explain)
    maps = remembering(given.inputs, given.targets)
    others = remembering(given.inputs, (given.targets + 1) % 3)
    assert not torch.equal(maps, others)
    remembering(given.inputs.flatten(1).view(5, 2, 8, 8).clone(), given.targets)
    assert remembering.asked == 10


def test_memory_is_bounded():
    method = Gradient(world("image").model)
    remembering = Explanations(method, max_bytes=3 * 2 * 8 * 8 * 8)
    questions = [(torch.full((1, 2, 8, 8), float(value), dtype=torch.float64), torch.tensor([0])) for value in range(5)]
    for question in questions:
        remembering(*question)
    assert remembering.asked == 5
    for question in reversed(questions[2:]):
        remembering(*question)
    assert remembering.asked == 5
    remembering(*questions[0])  # takes the place of the one that was not asked for longest
    assert remembering.asked == 6
    for question in questions[2:4]:
        remembering(*question)
    assert remembering.asked == 6
    remembering(*questions[4])
    assert remembering.asked == 7


def test_maps_of_other_models_are_not_remembered():
    given = world("image")
    remembering = Explanations(given.explain)
    for _ in range(2):
        remembering(given.inputs, given.targets, model=given.model)
    assert remembering.asked == 10


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x, y, model=None: x[:-1], "the method's maps have shape"),
        (lambda x, y, model=None: x.flatten(1), "the method's maps have shape"),
        (lambda x, y, model=None: x * torch.nan, "not finite"),
    ],
)
def test_answers_that_are_no_maps(answer, sentence):
    with pytest.raises(ValueError, match=sentence):
        world("image").score(MaxSensitivity(), explain=answer)
