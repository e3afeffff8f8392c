"""What verbs print with: lines, tables and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Column = Mapping[str, Any]
"""How a column is shown, in rich's words."""
LEFT: Column = {}
RIGHT: Column = {"justify": "right", "no_wrap": True}


PASSED, FAILED, SKIPPED = "[green]✓[/] ", "[red]✗[/] ", "[dim]–[/] "
"""Signs before a line, as markup."""


def say(text: str, style: str = "", *, sign: str = "", console: Console | None = None) -> None:
    """A line as it stands, behind a sign: nothing in the text is markup, and it is not wrapped."""
    from rich.console import Console
    from rich.text import Text

    line = Text.from_markup(sign).append(text, style)
    (console or Console(highlight=False)).print(line, soft_wrap=True)


def say_columns(rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """One line for each row, columns below each other. A terminal cuts long lines, but nothing of the first column; a
    pipe gets them whole."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console

    console = Console(highlight=False)
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    for row in rows:
        cells = [set_cell_size(text, width) for text, width in zip(row, widths, strict=True)]
        line = " " * indent + "  ".join(cells).rstrip()
        room = max(console.width, indent + cell_len(row[0]))
        if console.is_terminal and cell_len(line) > room:
            line = set_cell_size(line, room - 1).rstrip() + "…"
        say(line, console=console)


def say_json(value: object) -> None:
    """An object for other programs. Raises ValueError for numbers that are not finite."""
    from json import dumps

    typer.echo(dumps(value, indent=2, allow_nan=False))


def print_table(
    columns: Mapping[str, Column], rows: Iterable[Sequence[str]], *, title: str = "", framed: bool = False
) -> None:
    """Print a `table` below its title, and an empty line. A title is a line of its own, however narrow the table is."""
    from rich.console import Console

    if title:
        say(title, "bold")
    Console(highlight=False).print(table(columns, rows, framed=framed))
    say("")


def table(columns: Mapping[str, Column], rows: Iterable[Sequence[str]], *, framed: bool = False) -> Table:
    """A table with its columns by heading; cells may hold markup. framed: with lines around it."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table() if framed else Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading, column in columns.items():
        made.add_column(heading, **column)
    for row in rows:
        made.add_row(*row)
    return made
