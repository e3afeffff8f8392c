"""What all pages of the site share: how templates are filled, and Markdown of the repository as HTML."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from harness.reports.page import TEMPLATES
from harness.storage import fill_template, write_text

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)]*)\)")
_PLACES = (
    (re.compile(r"(?:\.\./)*(?:\.\./)?leaderboards/([\w.-]+)/(\d+)/.*"), r"leaderboards/\1/\2/index.html"),
    (re.compile(r"(?:\.\./)*(?:datasets/)?([\w.-]+)/README\.md"), r"datasets/\1/index.html"),
)
"""Files of the repository -> pages that show them."""


def write_page(source: Path, place: str, template: str, **values: object) -> None:
    """The page `<place>/index.html`; `root` leads from it to the first page."""
    (source / place).mkdir(parents=True, exist_ok=True)
    root = "../" * (place.count("/") + 1)
    page = fill_template(TEMPLATES / f"site-{template}.html", root=root, **values)
    write_text(source / place / "index.page", page)


def markdown(text: str, root: str) -> str:
    """Markdown as HTML, tags in it as text; links to files of the repository lead to the pages that show them, if any."""
    return str(_markdown().render(_LINK.sub(lambda found: _relinked(found, root), text)))


def inline_markdown(text: str) -> str:
    """A sentence."""
    return str(_markdown().renderInline(text))


def inline_svg(svg: str) -> str:
    """A picture by matplotlib for use inside a page: as wide as there is room, what is black in the colour of the text."""
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ', "", svg.replace("#000000", "currentColor"), count=1)


def _relinked(found: re.Match[str], root: str) -> str:
    for pattern, place in _PLACES:
        if pattern.fullmatch(found[2]):
            return f"[{found[1]}]({root}{pattern.sub(place, found[2])})"
    return found[1]  # no page shows it


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")
