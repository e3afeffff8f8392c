"""`harness data import`: released results of others as long tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import LEFT, RIGHT, print_table, say

if TYPE_CHECKING:
    from harness.data.importers.base import Imported

_SHOWN = 20
_ROWS = 1 << 16


def import_results(
    kind: Annotated[str, typer.Argument(help="latec-scores, latec-maps, fd-shifts, nnactive, openood or realistic-al")],
    path: Annotated[Path, typer.Argument(help="file or folder, as it was released")],
    out: Annotated[Path | None, typer.Option(help="file.parquet or file.csv to write")] = None,
    order: Annotated[str | None, typer.Option(help="latec-scores: published or config")] = None,
    dataset: Annotated[str | None, typer.Option(help="latec: data set, where the file's name does not say it")] = None,
    raw: Annotated[Path | None, typer.Option(help="nnactive: folder of raw data with loop files")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="fd-shifts: a column for each class, too")] = False,
) -> None:
    """Read results that others have released into a long table, with ids, units and sane values or none.

    Values that their metric cannot have are an error with file, row and column. Pickles are never opened. Without --out
    the first rows are shown.

    Example: harness data import latec-scores eval_scores_imagenet.npz --order published --out scores.parquet
    """
    from harness.spec.errors import UsageError
    from harness.storage import TABLE_SUFFIXES
    from harness.tracks.importers import import_results as imported_from

    if out is not None and (out.suffix not in TABLE_SUFFIXES or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out {out} must end in {' or '.join(TABLE_SUFFIXES)} and lie in a folder that exists.")
    options = {
        "order": order,
        "dataset": dataset,
        "raw": str(raw) if raw else None,
        "logits": "yes" if logits else None,
    }
    imported = imported_from(kind, path, {name: value for name, value in options.items() if value is not None})
    if out is not None:
        _write(imported, out)
    else:
        _show(imported)
    for note in imported.notes:
        typer.echo(f"  note: {note}")
    missing = int((imported.frame["status"] != "ok").sum()) if "status" in imported.frame else 0
    typer.echo(f"{imported.title}: {len(imported.frame)} rows, {missing} of them without a value")
    if out is not None:
        typer.echo(f"Table: {out}")


def _write(imported: Imported, out: Path) -> None:
    import pyarrow as pa

    from harness.storage import write_table

    schema = imported.schema()
    table = pa.Table.from_pandas(imported.frame, schema=schema, preserve_index=False)
    write_table(out, schema, table.replace_schema_metadata(None).to_batches(max_chunksize=_ROWS))


def _show(imported: Imported) -> None:
    print_table(
        {column.name: LEFT if column.type == "text" else RIGHT for column in imported.columns},
        [
            [_text(value, column.type) for value, column in zip(row, imported.columns, strict=True)]
            for row in imported.frame.head(_SHOWN).itertuples(index=False)
        ],
        title=imported.title,
    )
    if len(imported.frame) > _SHOWN:
        say(f"  the first {_SHOWN} of {len(imported.frame)} rows; --out FILE.parquet writes all")


def _text(value: object, type: str) -> str:
    from rich.markup import escape

    if value is None or value != value:
        return "–"
    return f"{value:.6g}" if type == "real" else escape(str(int(value)) if isinstance(value, float) else str(value))
