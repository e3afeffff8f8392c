"""Pages that come as HTML (`*.page`): Sphinx gives them its frame, its search and its title, and leaves them as they are."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.parsers import Parser

_TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)


class PageParser(Parser):
    """A document of one section: its title is that of the page's `h1`, and all else is kept."""

    supported = ("page",)

    def parse(self, inputstring: str, document: Any) -> None:
        found = _TITLE.search(inputstring)
        assert found is not None, "a page begins with its h1"
        title = unescape(found[1]).strip()
        section = nodes.section("", nodes.title(title, title), ids=["page"])
        section += nodes.raw("", inputstring[found.end() :], format="html")
        document += [nodes.raw("", inputstring[: found.start()], format="html"), section]
        document.settings.env.metadata[document.settings.env.docname]["orphan"] = (
            ""  # reached by links, not by a toctree
        )


def setup(app: Any) -> dict[str, bool]:
    app.add_source_suffix(".page", "page")
    app.add_source_parser(PageParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
