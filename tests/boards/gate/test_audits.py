"""What tracks can prove from the part of a unit's outputs that a submission carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.storage import IntegrityError
from harness.tracks.attribution.track import AttributionTrack
from tests.tracks.attribution.support import GRADIENT, SAMPLES, answer
from tests.tracks.support import audited

METRICS = ("faithfulness_estimate", "sparseness", "relevance_mass", "local_lipschitz")
Answered = tuple[AttributionTrack, object, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        track, unit, outputs = answer(folder, GRADIENT)
    return track, unit, dict(outputs)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def test_scores_without_maps_are_as_reported(answered: Answered) -> None:
    track, unit, outputs = answered
    stored = track.submitted(outputs)
    audit = audited(track, unit, stored)
    assert {record.metric: record.value for record in audit.records} == {
        name: pytest.approx(np.nanmedian(stored[f"score.{name}"]), rel=1e-12) for name in METRICS
    }
    assert audit.as_reported == ("uniform_maps", *METRICS)
    assert audit.problems == ()


def test_with_maps_only_what_asks_the_method_again_is_as_reported(answered: Answered) -> None:
    track, unit, outputs = answered
    audit = audited(track, unit, outputs)
    assert {record.metric: record.value for record in audit.records} == {
        "uniform_maps": 0.0,
        **{name: pytest.approx(np.nanmedian(outputs[f"score.{name}"]), rel=1e-12) for name in METRICS},
    }
    assert audit.as_reported == ("local_lipschitz",)
    assert audit.problems == ()


def test_scores_that_maps_do_not_give(answered: Answered) -> None:
    track, unit, outputs = answered
    forged = outputs | {"score.sparseness": outputs["score.sparseness"] * 0.99}
    assert audited(track, unit, forged).problems == ("sparseness of test · small is not what its maps give",)
    rounded = outputs | {"score.sparseness": outputs["score.sparseness"] * (1 - 1e-6)}
    assert audited(track, unit, rounded).problems == (), "another processor's rounding"


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.inf])
def test_impossible_scores(answered: Answered, bad: float) -> None:
    track, unit, outputs = answered
    scores = outputs["score.sparseness"].copy()
    scores[3] = bad
    audit = audited(track, unit, track.submitted(outputs | {"score.sparseness": scores}))
    assert audit.problems == ("sparseness of test · small holds scores outside of its range, 0 to 1",)


def test_scores_that_are_undefined_are_possible(answered: Answered) -> None:
    track, unit, outputs = answered
    scores = outputs["score.sparseness"].copy()
    scores[3] = np.nan
    audit = audited(track, unit, track.submitted(outputs | {"score.sparseness": scores}))
    assert audit.problems == ()
    assert {record.metric: record.n for record in audit.records}["sparseness"] == SAMPLES - 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda scores: scores[:-1],
            "score.sparseness of test · small is stored as float64 of shape (8,), not as float64 scores of its 9 samples",
        ),
        (
            lambda scores: scores.astype(np.float32),
            "score.sparseness of test · small is stored as float32 of shape (9,), not as float64 scores of its 9 samples",
        ),
        (
            lambda scores: scores.astype(str),
            "score.sparseness of test · small is stored as <U32 of shape (9,), not as float64 scores of its 9 samples",
        ),
    ],
)
def test_scores_of_another_shape(answered: Answered, change: object, sentence: str) -> None:
    track, unit, outputs = answered
    with pytest.raises(IntegrityError) as caught:
        audited(track, unit, outputs | {"score.sparseness": change(outputs["score.sparseness"])})
    assert str(caught.value) == sentence


def test_missing_unknown_and_unusable_arrays(answered: Answered) -> None:
    track, unit, outputs = answered
    for change, sentence in (
        ({"score.entropy": np.zeros(SAMPLES)}, "hold score.entropy, which its study does not measure"),
        ({"maps": outputs["maps"][:-1]}, r"it returned shape \(8, 1, 8, 8\), expected \(9, 1, 8, 8\)"),
        ({"maps": np.full_like(outputs["maps"], np.nan)}, "9 of 9 maps hold NaN or infinite values"),
    ):
        with pytest.raises(IntegrityError, match=sentence):
            audited(track, unit, outputs | change)
    with pytest.raises(IntegrityError, match="lack the scores of sparseness"):
        audited(track, unit, {name: array for name, array in outputs.items() if name != "score.sparseness"})
