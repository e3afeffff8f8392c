"""Mistakes that a user can mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class UsageError(Exception):
    """Something the user asked for cannot be done. The message is one sentence that says what to do."""


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a name that does not exist, with the nearest ones that do."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    else:
        advice = f"there are: {', '.join(choices)}." if choices else "nothing like it exists, so check the spelling."
    return UsageError(f"no {what} is called {name!r}; {advice}{' ' + hint if hint else ''}")


def first_problem(error: ValidationError, without: str | None = None) -> str:
    """The first field to mend, what is wrong with it, and how many more there are; `without`: a part of its place that
    stands in no file."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"] if without is None or part != without) or "file"
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{field}: {wrong_with(problem)}{more}."


def wrong_with(problem: ErrorDetails) -> str:
    """What is wrong with a field; in words of our own where pydantic's speak of Python's types."""
    if problem["type"] == "tuple_type":
        return "it must be a list in brackets, also for a single entry"
    if problem["type"] == "too_short":
        return "it must have an entry at least"
    return problem["msg"].removeprefix("Value error, ")
