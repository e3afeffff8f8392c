"""A benchmark file is checked as a whole: names agree, nothing unknown is let through."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from harness.spec.benchmark import ConfidenceBenchmark
from harness.storage import content_id

GOOD: dict[str, Any] = {
    "id": "toy",
    "version": 1,
    "title": "Toy",
    "task": "confidence",
    "metrics": ["augrc", "aurc"],
    "source": {
        "kind": "table",
        "holds": "logits",
        "values": "logits",
        "models": [{"id": "one", "table": {"path": "table.npz"}}],
        "sets": {
            "validation": {"rows": [0, 10]},
            "iid": {"rows": [10, 20]},
            "ood": {"named": "ood"},
        },
    },
    "reference": {"validation": "validation"},
    "studies": [
        {"id": "iid", "kind": "iid", "samples": "iid", "group": "iid"},
        {"id": "ood", "kind": "new-class", "samples": "iid", "unknown": "ood", "group": "ood"},
    ],
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    place: Any = data
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return data


def test_the_good_one_is_good() -> None:
    benchmark = ConfidenceBenchmark.model_validate(GOOD)
    assert benchmark.name == "toy@1"
    assert benchmark.studies[1].sets == ("iid", "ood")


BROKEN = {
    "unknown field": (changed("titel", to="x"), "titel"),
    "newer layout": (changed("schema_version", to=2), "schema_version"),
    "unknown set in a study": (changed("studies", 0, "samples", to="idd"), "sample set 'idd'"),
    "unknown reference set": (changed("reference", "train", to="nowhere"), "sample set 'nowhere'"),
    "reference is tested on": (changed("reference", "validation", to="iid"), "both reference and test"),
    "primary is not computed": (changed("primary", to="ece"), "primary metric 'ece'"),
    "family without models": (changed("default_family", to="big"), "default_family"),
    "new class without unknown samples": (changed("studies", 1, "unknown", to=None), "new-class"),
    "unknown samples in an iid study": (changed("studies", 0, "unknown", to="ood"), "new-class"),
    "study defined twice": (changed("studies", 1, "id", to="iid"), "more than once"),
    "group named like another study": (changed("studies", 1, "group", to="iid"), "name of another study"),
    "empty rows": (changed("source", "sets", "iid", to={"rows": [20, 20]}), "empty"),
    "rows and name": (changed("source", "sets", "iid", to={"rows": [1, 2], "named": "x"}), "either"),
    "name unsafe as a folder": (changed("id", to="../toy"), "id"),
    "hash of wrong length": (changed("source", "models", 0, "table", "sha256", to="abc"), "sha256"),
    "version zero": (changed("version", to=0), "version"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_mistakes_are_named(mistake: str) -> None:
    data, says = BROKEN[mistake]
    with pytest.raises(ValidationError, match="(?s)" + says.replace("(", r"\(")):
        ConfidenceBenchmark.model_validate(data)


def test_the_hash_sees_every_change_and_no_default_spelled_out() -> None:
    def identity(data: dict[str, Any]) -> str:
        return content_id(ConfidenceBenchmark.model_validate(data).canonical())

    assert identity(changed("bootstrap", to={"replicates": 500, "seed": 0})) == identity(GOOD)
    others = [
        changed("bootstrap", to={"replicates": 501}),
        changed("metrics", to=["aurc", "augrc"]),
        changed("source", "sets", "iid", to={"rows": [10, 21]}),
        changed("title", to="Toys"),
    ]
    assert len({identity(data) for data in (GOOD, *others)}) == 5


def test_specifications_are_frozen() -> None:
    benchmark = ConfidenceBenchmark.model_validate(GOOD)
    with pytest.raises(ValidationError):
        benchmark.title = "other"  # type: ignore[misc]
