"""What several verbs print in the same way."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def print_json(value: object, **options: Any) -> None:
    """A value as JSON on standard output; options as `json.dumps` takes them."""
    print(json.dumps(value, indent=2, **options))


def plain_table(headings: Iterable[str], left: Collection[str], title: str | None = None, **options: Any) -> Table:
    """A table with lines around its head only; columns that are not among `left` are aligned to the right.

    Options are those of `Table.add_column`, for all columns.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", **options)
    return table
