"""Fields that came later change no released hash."""

from __future__ import annotations

from typing import ClassVar

from harness.spec.base import Grown, Spec


class Part(Grown):
    later: ClassVar[frozenset[str]] = frozenset({"colour"})
    size: int = 1
    colour: str | None = None


class Whole(Spec):
    part: Part


def test_a_later_field_is_plain_data_once_it_is_used():
    assert Whole(part=Part()).canonical() == {"part": {"size": 1}}
    assert Whole(part=Part(colour="red")).canonical() == {"part": {"size": 1, "colour": "red"}}
    assert Part.model_validate_json(Part(colour="red").model_dump_json()) == Part(colour="red")
    assert Part.model_validate_json(Part(size=2).model_dump_json()) == Part(size=2)
