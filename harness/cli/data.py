"""`harness data`: the files that benchmarks are made of."""

from __future__ import annotations

import typer

from harness.cli import data_convert

app = typer.Typer(
    help="Files that benchmarks are made of: released weights and data.\n\n"
    "Example: harness data convert last.ckpt weights.safetensors",
    no_args_is_help=True,
)
app.command("convert")(data_convert.convert)
