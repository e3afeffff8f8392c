"""`harness data`: where the bytes come from, and what is made of them."""

from __future__ import annotations

import typer

from harness.cli import data_import, data_pack

app = typer.Typer(
    help="Import released results, and pack what models said.\n\nExample: harness data pack confidence-mnist@1",
    no_args_is_help=True,
)

app.command("import")(data_import.import_results)
app.command("pack")(data_pack.pack)
