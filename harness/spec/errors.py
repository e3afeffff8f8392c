"""Mistakes that a user can mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from harness.spec.base import SHA256, SLUG

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class UsageError(Exception):
    """Something the user asked for cannot be done. The message is one sentence that says what to do."""


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a name that does not exist, with the nearest ones that do."""
    choices = sorted(known)
    advice = did_you_mean(name, choices)
    if not advice:
        advice = f"there are: {', '.join(choices)}." if choices else "nothing like it exists, so check the spelling."
    return UsageError(f"no {what} is called {name!r}; {advice}{' ' + hint if hint else ''}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the at most three nearest names: those that begin with it, then those that look like it. Empty
    where there are none."""
    choices = sorted(known)
    begun = [each for each in choices if len(name) > 2 and each.startswith(name)]
    alike = get_close_matches(name, choices, n=3, cutoff=0.5)
    near = list(dict.fromkeys([*begun, *alike]))[:3]
    return f"did you mean {' or '.join(near)}?" if near else ""


def first_problem(error: ValidationError, without: str | None = None, data: object = None) -> str:
    """The first field to mend, what is wrong with it, and how many more there are.

    `without`: a part of its place that stands in no file. `data`: what was read, where the place may hold more such
    parts: which of several models an entry is.
    """
    problems = _problems(error)
    problem = problems[0]
    place = [part for part in problem["loc"] if without is None or part != without]
    field = ".".join(map(str, place if data is None else _in_file(place, data))) or "file"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{field}: {in_words(problem)}{more}."


def _problems(error: ValidationError) -> list[ErrorDetails]:
    """All but lists that are too short because an entry of theirs is no good."""
    found = error.errors(include_url=False)
    inside = {problem["loc"][:depth] for problem in found for depth in range(len(problem["loc"]))}
    return [problem for problem in found if problem["type"] != "too_short" or problem["loc"] not in inside]


def _in_file(place: Sequence[int | str], data: object) -> list[int | str]:
    """The parts of a place that lead through the data, and the name of a key that it lacks."""
    found: list[int | str] = []
    for part in place:
        if isinstance(data, Mapping) and (part in data or part is place[-1]):
            found, data = [*found, part], data.get(part)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            found, data = [*found, part], data[part]
    return found


def in_words(problem: ErrorDetails) -> str:
    """What is wrong with a value and what to do, in plain words and without a full stop."""
    kind, context, value = problem["type"], problem.get("ctx", {}), _short(problem["input"])
    if context.get("min_length") == 1:
        return "it must not be empty"
    if kind == "string_pattern_mismatch":
        return f"it must be {_FORMS.get(context['pattern'], 'of the form ' + context['pattern'])}, not {value}"
    if kind in _WORDS:
        return _WORDS[kind].format(value=value, **context)
    if kind == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    for ending, what in _KINDS.items():
        if kind.startswith(ending):
            return f"it must be {what}, not {value}"
    return f"{problem['msg'][:1].lower()}{problem['msg'][1:]}, but it is {value}"


_WORDS = {
    "missing": "it is missing; add it",
    "extra_forbidden": "nothing is called so here; correct the name, or remove it",
    "literal_error": "it must be {expected}, not {value}",
    "enum": "it must be {expected}, not {value}",
    "union_tag_not_found": "it has no {discriminator} that says what it is; add it",
    "union_tag_invalid": "its {discriminator} must be one of {expected_tags}, not '{tag}'",
    "greater_than": "it must be more than {gt}, not {value}",
    "greater_than_equal": "it must be at least {ge}, not {value}",
    "less_than": "it must be less than {lt}, not {value}",
    "less_than_equal": "it must be at most {le}, not {value}",
    "finite_number": "it must be a finite number, not {value}",
    "int_from_float": "it must be a whole number, not {value}",
    "string_too_short": "it must have at least {min_length} characters, not {value}",
    "string_too_long": "it must have at most {max_length} characters, not {value}",
    "too_short": "it must have at least {min_length} entries, not {actual_length}",
    "too_long": "it must have at most {max_length} entries, not {actual_length}",
}
"""By pydantic's type of error."""
_FORMS = {
    SLUG: "of lower-case letters, digits, '.', '_' and '-', at most 80 and no sign first",
    SHA256: "a sha256, 64 digits 0 to 9 and a to f",
}
_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table of names and values",
    "model": "a table of names and values",
    "dataclass": "a table of names and values",
}
"""What is asked for where another kind of value was given, by the beginning of pydantic's type of error."""


def _short(value: object) -> str:
    """A value as it may stand in a sentence."""
    shown = repr(value).replace("\n", " ")
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


_LONGEST = 60  # characters of a value in a sentence
