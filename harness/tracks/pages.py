"""Pages from templates: files in the folder `templates/` of a package, HTML escaped, Markdown as it stands."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, **values: object) -> str:
    """A template of a package, filled in. What Markdown templates share, such as tables, is in `markdown.md`."""
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, "harness.tracks"))]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"paragraph": _paragraph, "cell": _cell}
    return environment


def _paragraph(text: str) -> str:
    """Lines of a template as one line."""
    return " ".join(text.split()) + "\n"


def _cell(text: object) -> str:
    """A text that does not end its cell of a Markdown table."""
    return str(text).replace("|", r"\|")
