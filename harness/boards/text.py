"""Text from strangers: what it may hold, what it looks like, and how it is shown where other programs read it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

_LOOKS = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"))
"""What is taken for one another in lower-case names, the longer first."""
_SEPARATORS = re.compile(r"[._-]+")
_FORMULA = tuple("=+-@\t\r")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#!$])")


def skeleton(name: str) -> str:
    """What is left of a name for a quick eye: two methods whose skeletons are equal would be taken for one another.

    Names of methods are ASCII and lower-case by their schema, so that look-alikes of other alphabets cannot occur; text
    in another form is brought into that one first.
    """
    plain = _SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold())
    for seen, as_if in _LOOKS:
        plain = plain.replace(seen, as_if)
    return plain


def hidden_characters(text: str, allowed: str = "") -> Iterator[str]:
    """The characters of a text that a reader does not see, or that change how the rest is seen, as `U+202E`, each once.

    Control characters, marks of writing direction, joiners and spaces of no or unusual width, line ends of other
    systems, private and unassigned characters, and lone surrogates; those of `allowed` excepted.
    """
    for each in dict.fromkeys(text):
        if not each.isprintable() and each not in allowed:
            yield f"U+{ord(each):04X}"


def texts_in(data: object, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """All texts in plain data, keys included, each with its place, e.g. `method.version`."""
    if isinstance(data, str):
        yield ".".join(place), data
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield ".".join(place) or "a name", str(name)
            yield from texts_in(value, (*place, str(name)))
    elif isinstance(data, list | tuple):
        for value in data:
            yield from texts_in(value, place)


def spreadsheet_text(value: object) -> object:
    """A cell of a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it.

    Numbers are left as they are, so that a negative one stays a number.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def markdown_text(text: str) -> str:
    """Text that stands in a page of Markdown as it is: no markup, links, tables or HTML of its own, in one line."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return _MARKUP.sub(r"\\\1", shown.replace("&", "&amp;")).replace("://", r"\://").replace("www.", r"www\.")
