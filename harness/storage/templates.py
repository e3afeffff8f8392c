"""Pages and cards from jinja2 templates."""

from __future__ import annotations

from pathlib import Path


def fill_template(template: Path, **values: object) -> str:
    """The template with these values; those of an .html file are escaped, of any other they stand as they are.

    A line that holds nothing but a block or a comment leaves no line behind. Raises jinja2.UndefinedError where the
    template asks for a value that is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=template.suffix == ".html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
