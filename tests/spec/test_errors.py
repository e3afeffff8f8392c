"""Sentences about what does not fit its model: in the words of the field, never in those of the library."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from harness.spec.base import Sha256, Slug, Spec
from harness.spec.errors import did_you_mean, first_problem, unknown


class Square(Spec):
    kind: Literal["square"]
    side: float = Field(gt=0, le=10)


class Circle(Spec):
    kind: Literal["circle"]
    radius: float = Field(ge=0, lt=5)


class Drawing(Spec):
    id: Slug = "a"
    sha256: Sha256 | None = None
    shapes: Annotated[tuple[Annotated[Square | Circle, Field(discriminator="kind")], ...], Field(min_length=1)]
    count: int = 1
    title: str = Field(default="a", min_length=1, max_length=5)
    colour: Literal["red", "blue"] = "red"
    filled: bool = True
    corners: Annotated[tuple[int, ...], Field(max_length=2)] = ()
    scale: float = Field(default=1, allow_inf_nan=False)


SQUARE = {"kind": "square", "side": 1}
SAID = [
    ({}, "shapes: it is missing; add it."),
    ({"shapes": []}, "shapes: it must not be empty."),
    ({"shapes": 3}, "shapes: it must be a list, not 3."),
    ({"shapes": [3]}, "shapes.0: it must be a table of names and values, not 3."),
    ({"shapes": [{}]}, "shapes.0: it has no 'kind' that says what it is; add it."),
    ({"shapes": [{"kind": "cube"}]}, "shapes.0: its 'kind' must be one of 'square', 'circle', not 'cube'."),
    ({"shapes": [SQUARE, {"kind": "square"}]}, "shapes.1.side: it is missing; add it."),
    ({"shapes": [{**SQUARE, "side": 0}]}, "shapes.0.side: it must be more than 0.0, not 0."),
    ({"shapes": [{**SQUARE, "side": 11}]}, "shapes.0.side: it must be at most 10.0, not 11."),
    ({"shapes": [{"kind": "circle", "radius": -1}]}, "shapes.0.radius: it must be at least 0.0, not -1."),
    ({"shapes": [{"kind": "circle", "radius": 5}]}, "shapes.0.radius: it must be less than 5.0, not 5."),
    ({"shapes": [SQUARE], "colour": "green"}, "colour: it must be 'red' or 'blue', not 'green'."),
    ({"shapes": [SQUARE], "count": 1.5}, "count: it must be a whole number, not 1.5."),
    ({"shapes": [SQUARE], "count": "many"}, "count: it must be a whole number, not 'many'."),
    ({"shapes": [SQUARE], "count": None}, "count: it must be a whole number, not None."),
    ({"shapes": [SQUARE], "scale": "x"}, "scale: it must be a number, not 'x'."),
    ({"shapes": [SQUARE], "scale": float("nan")}, "scale: it must be a finite number, not nan."),
    ({"shapes": [SQUARE], "title": 3}, "title: it must be text, not 3."),
    ({"shapes": [SQUARE], "title": ""}, "title: it must not be empty."),
    ({"shapes": [SQUARE], "title": "abcdef"}, "title: it must have at most 5 characters, not 'abcdef'."),
    ({"shapes": [SQUARE], "filled": "perhaps"}, "filled: it must be true or false, not 'perhaps'."),
    ({"shapes": [SQUARE], "corners": [1, 2, 3]}, "corners: it must have at most 2 entries, not 3."),
    ({"shapes": [SQUARE], "corners": [1, "x"]}, "corners.1: it must be a whole number, not 'x'."),
    ({"shapes": [SQUARE], "id": "A b"}, "id: it must be of lower-case letters, digits, '.', '_' and '-', "),
    ({"shapes": [SQUARE], "sha256": "0"}, "sha256: it must be a sha256, 64 digits 0 to 9 and a to f, not '0'."),
    ({"shapes": [SQUARE], "size": 3}, "size: nothing is called so here; correct the name, or remove it."),
    ({"shapes": [SQUARE], "size": 3, "count": "x"}, " (1 more)."),
    ({"shapes": [SQUARE], "colour": "x" * 1000 + "\n"}, "…."),
]


@pytest.mark.parametrize(("fields", "said"), SAID)
def test_what_is_wrong_is_said_in_words_of_the_file(fields, said):
    with pytest.raises(ValidationError) as caught:
        Drawing.model_validate(fields)
    sentence = first_problem(caught.value, data=fields)
    assert said in sentence
    assert not re.search(r"[Ii]nput|[Ss]hould|permitted|required|valid|pydantic", sentence)
    assert "\n" not in sentence
    assert len(sentence) < 160


def test_parts_of_a_place_that_stand_in_no_file_are_left_out():
    fields = {"shapes": [{"kind": "circle", "radius": "x"}]}
    with pytest.raises(ValidationError) as caught:
        Drawing.model_validate(fields)
    assert first_problem(caught.value).startswith("shapes.0.circle.radius: ")
    assert first_problem(caught.value, without="circle").startswith("shapes.0.radius: ")
    assert first_problem(caught.value, data=fields).startswith("shapes.0.radius: ")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("random", "did you mean random-map or random-sampling?"),
        ("ran", "did you mean random-map or random-sampling?"),
        ("blad", "did you mean bald?"),
        ("xyz", ""),
        ("ra", ""),  # two letters begin too much
    ],
)
def test_names_that_begin_alike_are_near(name, asked):
    known = ["bald", "random-sampling", "random-map"]
    assert did_you_mean(name, known) == asked
    assert str(unknown("method", name, known)).endswith(asked or "there are: bald, random-map, random-sampling.")


def test_a_method_of_another_kind_is_answered_with_names_of_the_kind_that_is_wanted():
    from harness.execution.evaluate import Request, prepare
    from harness.spec.errors import UsageError

    for method, words in (
        (
            "random",
            "is a method for confidence benchmarks, but query-mnist@2 is one for query; did you mean random-samp",
        ),
        ("randm", "no method is called 'randm'; did you mean random-sampling"),
        ("entrpy", "no method is called 'entrpy'; did you mean expected-entropy or predictive-entropy"),
    ):
        with pytest.raises(UsageError, match=words):
            prepare(Request(method, "query-mnist"))


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        ('"basci"', "trainings.0.augmentation: it must be 'none', 'basic' or 'randaugment', not 'basci'"),
        ("3", "trainings.0.augmentation: it must be a list, not 3"),
        ('[{ kind = "shift", share = 2 }]', "trainings.0.augmentation.0.share: it must be less than 1.0, not 2"),
        ('[{ kind = "shift" }, { share = 1 }]', "trainings.0.augmentation.1: it has no 'kind'"),
        (
            '[{ kind = "blur", sigma = [2, 1] }]',
            "augmentation.0.sigma: the smaller number comes first, but it is 2.0 and",
        ),
    ],
)
def test_steps_of_an_augmentation_are_named_by_their_place(tmp_path, augmentation, said):
    from harness.data.catalog import load_protocol
    from harness.spec.errors import UsageError
    from tests.tracks.query.classification.support import write_benchmark

    path = write_benchmark(tmp_path, training="augmentation = []", images=False).path
    path.write_text(path.read_text().replace("augmentation = []", f"augmentation = {augmentation}"))
    with pytest.raises(UsageError) as caught:
        load_protocol(path)
    assert said in str(caught.value)
