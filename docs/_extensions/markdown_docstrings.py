"""Docstrings are written in Markdown; autodoc reads reStructuredText: this translates the part of it that they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

# Code, formulas, emphasis (of words alone: `(n, *spatial)` is none), links.
INLINE = re.compile(r"`([^`]+)`|\$([^$]+)\$|\*(\w[\w\s-]*)\*|\[([^\]]+)\]\(([^)\s]+)\)")
SPECIAL = re.compile(r"([\\*`|]|_(?!\w))")
NAME = re.compile(r"[A-Za-z_][\w.]*")
ITEM = re.compile(r"^[a-z_]\w*(?:, [a-z_]\w*)*(?=: )")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", translate)
    app.connect("autodoc-process-signature", without_constructor)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def translate(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)


def without_constructor(app: Sphinx, what: str, name: str, obj: Any, options: Any, *signature: Any) -> Any:
    """Users are given objects; what makes these is no part of the interface."""
    return ("", None) if what == "class" else None


def restructured(lines: list[str]) -> list[str]:
    result: list[str] = []
    for empty, some in groupby(lines, key=lambda line: not line.strip()):
        if not empty:
            result += [*block(list(some)), ""]
    return result


def block(lines: list[str]) -> Iterator[str]:
    """A formula between dollars, code that is indented, a list, what names are, one after the other, or a paragraph."""
    text = "\n".join(lines)
    if text.startswith("$$"):
        yield from (".. math::", "", *(f"    {line}" for line in text.strip("$ \n").splitlines()))
    elif lines[0].startswith("    "):
        yield from (".. code-block:: python", "", *lines)
    elif text.startswith("- "):
        yield from inline(text).splitlines()
    elif any(line.startswith("    ") for line in lines) or (ITEM.match(text) and all(map(ITEM.match, lines))):
        for line in lines:
            yield f"  {inline(line.strip())}" if line.startswith("    ") else f"- {ITEM.sub(bold, inline(line))}"
    else:
        yield from inline(text).splitlines()


def inline(text: str) -> str:
    result, end = "", 0
    for found in INLINE.finditer(text):
        result += SPECIAL.sub(r"\\\1", text[end : found.start()])
        # Whatever stands right before or after it, it begins and ends here.
        result += rf"\ {role(*found.groups())}\ "
        end = found.end()
    return result + SPECIAL.sub(r"\\\1", text[end:])


def bold(name: re.Match[str]) -> str:
    return f"**{name[0]}**"


def role(code: str | None, formula: str | None, emphasis: str | None, label: str | None, address: str | None) -> str:
    if code is not None:
        return f":py:obj:`{code}`" if NAME.fullmatch(code) else f"``{code}``"
    if formula is not None:
        return f":math:`{formula}`"
    return f"*{emphasis}*" if emphasis is not None else f"`{label} <{address}>`__"
