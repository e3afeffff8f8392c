"""Texts from templates beside the code that fills them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def fill_template(template: Path, **values: object) -> str:
    """The template with these values; those of an .html file are escaped, of any other they stand as they are.

    A line that holds nothing but a block or a comment leaves no line behind. Raises jinja2.UndefinedError where the
    template asks for a value that is not given.
    """
    return _environment(template.parent, template.suffix == ".html").get_template(template.name).render(values)


@cache
def _environment(folder: Path, autoescape: bool) -> Environment:
    """Kept, since it keeps the templates that it has compiled: a site fills the same few some hundred times."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
