"""Kinds are entry points: what of an installed package is taken, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from harness.methods.discovery import find_method
from harness.metrics import facts
from harness.spec import kinds
from harness.spec.errors import UsageError

OWN = ("confidence", "query", "attribution", "attribution-metric")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    kinds.kinds.cache_clear()
    yield
    kinds.kinds.cache_clear()
    kinds._UNUSABLE.clear()


def install(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    """Entry points of further packages beside those that are there."""
    there = tuple(metadata.entry_points(group=kinds.ENTRY_POINTS))
    points = (metadata.EntryPoint(name, value, kinds.ENTRY_POINTS) for name, value in more.items())
    monkeypatch.setattr(metadata, "entry_points", lambda group, every=(*there, *points): every)


def test_the_harness_brings_its_own() -> None:
    assert set(OWN) <= set(kinds.kinds())
    for name in OWN:
        kind = kinds.kind_of(name)
        assert kind.task == name == kind.method.model_fields["task"].annotation.__args__[0]
        assert all(callable(kinds.load(each)) for each in (kind.track, kind.leaderboard, kind.host, kind.check))
        assert kinds.load(kind.metrics)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("harness.nowhere:KIND", "its package fails with ModuleNotFoundError"),
        ("harness.spec.kinds:ENTRY_POINTS", "is no kind of that name"),
        ("harness.tracks.query.kind:KIND", "is no kind of that name"),
    ],
)
def test_one_that_cannot_be_used_hides_no_other(monkeypatch: pytest.MonkeyPatch, value: str, why: str) -> None:
    install(monkeypatch, telepathy=value)
    assert set(OWN) <= set(kinds.kinds())
    with pytest.raises(ValueError, match=f"the kind 'telepathy' cannot be used: .*{why}"):
        kinds.kind_of("telepathy")


def test_nobody_takes_the_place_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, confidence="tests.spec.test_kinds:TAKEN")
    with pytest.raises(UsageError, match="two installed packages bring the kind 'confidence'"):
        kinds.kinds()


def test_without_any_the_harness_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: ())
    with pytest.raises(UsageError, match="pip install -e"):
        kinds.kinds()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("telepathy", "no kind of method is called 'telepathy'"),
        (None, "it is missing"),
        (3, "it must be a text"),
        (["query"], "it must be a text"),
    ],
)
def test_an_unknown_task_names_those_that_there_are(task: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}; there are: attribution"):
        kinds.kind_of(task)


def test_a_package_cannot_take_the_words_of_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decorator or a metric of the same name: the harness's own keep their meaning."""
    install(monkeypatch, **{"a-copy": "tests.spec.test_kinds:COPY"})
    facts.metric_facts.cache_clear()
    path = tmp_path / "method.py"
    path.write_text('from harness import confidence_score\n\n@confidence_score(version="1")\ndef f(outputs): ...\n')
    assert find_method(str(path)).spec.task == "confidence"
    assert facts.metric_facts()["augrc"].lower_is_better
    facts.metric_facts.cache_clear()


def confidence_score(*, version: str) -> None: ...


ALL_UP = (facts.MetricFacts("augrc", False, (0, 1), (), "", "copy"),)
TAKEN = kinds.Kind(**{**vars(kinds.load("harness.tracks.confidence.kind:KIND")), "caption": "another"})
COPY = kinds.Kind(
    **{**vars(TAKEN), "task": "a-copy", "decorator": confidence_score, "metrics": "tests.spec.test_kinds:ALL_UP"}
)
