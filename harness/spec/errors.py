"""Mistakes that a user can mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from harness.spec.base import SHA256, SLUG

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class UsageError(Exception):
    """Something the user asked for cannot be done. The message is one sentence that says what to do."""


class EvaluatesItselfError(BaseException):
    """A method's own file starts an evaluation, where it is read for the method alone. No Exception: a script that goes on
    after errors must not go on here, without a result."""


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a name that does not exist, with the nearest ones that do."""
    choices = sorted(known)
    advice = did_you_mean(name, choices)
    if not advice and len(choices) > _MOST_NAMED:
        advice = f"none of the {len(choices)} that there are looks like it."
    elif not advice:
        advice = f"there are: {', '.join(choices)}." if choices else "nothing like it exists, so check the spelling."
    return UsageError(f"no {what} is called {name!r}; {advice}{' ' + hint if hint else ''}")


def row_of(number: int) -> str:
    """A row of a table, an array or a list, as Python and the `rows` of a benchmark count them."""
    return f"row {number} (counted from 0)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the `nearest` names. Empty where there are none."""
    near = nearest(name, known)
    return f"did you mean {' or '.join(near)}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three names, by the first of these rules that finds any: the same but for upper case and separators; those
    that begin with it; those that have it as a word; those that look like it; those of which a word does."""
    choices, wanted = sorted(known), _folded(name)
    longer = choices if len(name) > 2 else []
    same = [each for each in choices if _folded(each) == wanted]
    begun = [each for each in longer if _folded(each).startswith(wanted)]
    held = [each for each in longer if wanted in _words(each)]
    near = same or begun or held or _alike({each: (_folded(each),) for each in choices}, wanted)
    return (near or _alike({each: _words(each) for each in choices}, wanted))[:3]


def _alike(texts: Mapping[str, Sequence[str]], wanted: str) -> list[str]:
    """Names of which a text looks like what was wanted, nearest first, without those that look much less like it."""
    ratios = {
        name: max(SequenceMatcher(None, wanted, each).ratio() for each in of) for name, of in texts.items() if any(of)
    }
    best = max(ratios.values(), default=0.0)
    found = [name for name, ratio in ratios.items() if ratio >= max(_ALIKE, best - _MUCH_LESS)]
    return sorted(found, key=lambda name: (-ratios[name], -SequenceMatcher(None, wanted, _folded(name)).ratio()))


def _folded(name: str) -> str:
    return name.casefold().replace("_", "-").replace(" ", "-")


def _words(name: str) -> list[str]:
    return re.split(r"[-@/]", _folded(name))


_ALIKE, _MUCH_LESS = 0.6, 0.1  # of difflib's ratio, 1 for equal texts
_MOST_NAMED = 20  # names in a sentence


def first_problem(error: ValidationError, without: str | None = None, data: object = None) -> str:
    """The first field to mend, what is wrong with it, and how many more there are.

    `without`: a part of its place that stands in no file. `data`: what was read, where the place may hold more such
    parts: which of several models an entry is.
    """
    problems = _problems(error)
    problem = problems[0]
    place = [part for part in problem["loc"] if without is None or part != without]
    field = ".".join(map(str, place if data is None else _in_file(place, data))) or "file"
    # A key that is not known is often one that is missing, misspelt.
    lacking = [
        str(each["loc"][-1])
        for each in problems
        if problem["type"] == "extra_forbidden"
        and each["type"] == "missing"
        and each["loc"][:-1] == problem["loc"][:-1]
    ]
    if near := did_you_mean(str(problem["loc"][-1]), lacking) if lacking else "":
        return f"{field}: nothing is called so here; {near}"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{field}: {in_words(problem)}{more}."


def _problems(error: ValidationError) -> list[ErrorDetails]:
    """All but lists that are too short because an entry of theirs is no good; keys that are not known come first."""
    found = error.errors(include_url=False)
    inside = {problem["loc"][:depth] for problem in found for depth in range(len(problem["loc"]))}
    own = [problem for problem in found if problem["type"] != "too_short" or problem["loc"] not in inside]
    return sorted(own, key=lambda problem: problem["type"] != "extra_forbidden")


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
