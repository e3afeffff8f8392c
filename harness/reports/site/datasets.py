"""A page for each data set, with its licence, and a list of them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.data.catalog import bundled_folder
from harness.data.manifests import read_datasets
from harness.reports.site.text import markdown, write_page
from harness.spec.manifest import DataSet, OwnFile

_CARD = "README.md"


def write_datasets(source: Path) -> None:
    """Pages of all bundled data sets that have a card; those with a `source.toml` say what they are made of."""
    manifests, _ = read_datasets()
    listed = []
    for card in sorted(bundled_folder("datasets").glob(f"*/{_CARD}")):
        name, manifest = card.parent.name, manifests.get(card.parent.name)
        spec = None if manifest is None else manifest.spec
        listed.append((name, spec, _bytes(spec)))
        title, _, body = card.read_text("utf-8").partition("\n")
        write_page(
            source,
            f"datasets/{name}",
            "dataset",
            name=name,
            title=spec.title if spec else title.removeprefix("#").strip(),
            data=spec,
            size=_bytes(spec),
            pages=sorted({file.origin.page for file in spec.files if isinstance(file.origin, OwnFile)}) if spec else [],
            locked=manifest is not None and manifest.locked,
            card=markdown(body, "../../"),
        )
    write_page(source, "datasets", "datasets", listed=listed)


def dataset_pages() -> Mapping[str, str]:
    """Data set -> its page, seen from the first one."""
    cards = bundled_folder("datasets").glob(f"*/{_CARD}")
    return {card.parent.name: f"datasets/{card.parent.name}/index.html" for card in cards}


def _bytes(spec: DataSet | None) -> int | None:
    """How many bytes its files have; None unless it is recorded, or roughly known, of every file."""
    known = [] if spec is None else [file.bytes or file.about_bytes for file in spec.files]
    return sum(each or 0 for each in known) if known and all(known) else None
