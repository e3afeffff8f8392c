"""The works that the harness knows as structured BibTeX entries: `references.bib`, beside this file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("references.bib")
_CITED = "cited"
_ENTRY = re.compile(r"^@(?P<type>[a-z]+)\{(?P<key>[^,\s]+),\n(?P<fields>(?:  [a-z]+ = \{.*\},\n)+)\}$", re.MULTILINE)
_FIELD = re.compile(r"^  (?P<name>[a-z]+) = \{(?P<value>.*)\},$", re.MULTILINE)


@dataclass(frozen=True)
class Work:
    """One entry: its type (`article`), key, and fields as BibTeX takes them."""

    type: str
    key: str
    fields: Mapping[str, str]


def find_work(text: str) -> Work | None:
    """The work that a text names, by its key or in one of the ways in which the harness names it; None for others."""
    return _works().get(_plain(text))


@cache
def _works() -> dict[str, Work]:
    """By key and by every way to name them."""
    found: dict[str, Work] = {}
    for entry in _ENTRY.finditer(_FILE.read_text(encoding="utf-8")):
        fields = {field["name"]: field["value"] for field in _FIELD.finditer(entry["fields"])}
        names = fields.pop(_CITED, "").split("|")
        work = Work(entry["type"], entry["key"], fields)
        found |= dict.fromkeys(filter(None, map(_plain, [entry["key"], *names])), work)
    return found


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
