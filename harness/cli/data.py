"""`harness data`: where the bytes come from, and what is made of them."""

from __future__ import annotations

import typer

from harness.cli import data_convert, data_import, data_pack, data_prepare, data_publish, data_sources

app = typer.Typer(
    help="Fetch, check and remove data sets; prepare, import, pack, build and publish.\n\nExample: harness data list",
    no_args_is_help=True,
)
app.command("list")(data_sources.list_datasets)
for verb in (data_sources.fetch, data_sources.verify, data_sources.where, data_sources.prune, data_sources.lock):
    app.command(verb.__name__)(verb)
app.command("prepare")(data_prepare.prepare)
app.command("convert")(data_convert.convert)
app.command("import")(data_import.import_results)
app.command("pack")(data_pack.pack)
app.add_typer(data_publish.build_app, name="build")
app.add_typer(data_publish.publish_app, name="publish")
