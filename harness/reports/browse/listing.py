"""The page of a run whose samples are looked at one by one: cards with pictures, filters, an order, a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.execution.unit_server import kept_folder
from harness.reports.page import fill_page
from harness.spec.errors import UsageError
from harness.storage import content_id, write_text
from harness.tracks.views import Card, SampleList

_MOST_BYTES = 12_000_000
"""Of the pictures of a page."""
_PARTS = ("browse.css", "browse-sheet.js", "browse-list.js")


def write_listing(run: RunResult, protocol: LoadedBenchmark, out: Path, images: bool = True) -> Path:
    """Write the page and return its path. Raises UsageError for a run without anything to list, errors of its data."""
    answers = run.answers_by_unit(protocol)
    listing = run.scored(protocol).track.listing(
        answers, lambda unit: kept_folder(run.folder, content_id(unit.canonical()))
    )
    if listing is None:
        why = f"runs of {run.document.spec.task} have none" if answers else "no unit has scores"
        raise UsageError(f"{run.folder} has no samples to look at: {why}; harness report shows any run.")
    spec = run.document.spec
    title = f"{spec.method.name} {spec.method.version} on {spec.benchmark}"
    write_text(out, listing_page(listing, title, protocol.benchmark.title, images))
    return out


def listing_page(listing: SampleList, title: str, benchmark: str, images: bool = True) -> str:
    """The page of a listing, without pictures where these are not wanted."""
    pictures = _Pictures(listing) if images else None
    return fill_page(
        "browse-list.html",
        data={"listing": _content(listing, pictures)},
        parts=_PARTS,
        title=title,
        benchmark=benchmark,
        listing=listing,
        notes=[*listing.notes, *(pictures.notes if pictures else ["Pictures were left out."])],
    )


class _Pictures:
    """Pictures of rows in the listing's first order, until the page is full; equal ones are stored once."""

    def __init__(self, listing: SampleList) -> None:
        self.sources: dict[str, int] = {}
        self.of: dict[int, list[dict[str, Any]]] = {}
        count, taken = len(next(iter(listing.columns.values()))), 0
        for row in _ordered(listing, count):
            cards = listing.cards(row)
            fresh = {each.source for card in cards for each in card.pictures} - self.sources.keys()
            taken += sum(map(len, fresh))
            if taken > _MOST_BYTES:
                break
            self.of[row] = [self._card(card) for card in cards]
        shown = sum(bool(cards) for cards in self.of.values())
        rest = f"Pictures of {shown:,} of {count:,} rows are inside, the first in the order at the beginning."
        self.notes = [] if shown == count else [rest if shown else "There are no pictures here."]

    def _card(self, card: Card) -> dict[str, Any]:
        pictures = [
            [self.sources.setdefault(each.source, len(self.sources)), each.alt, each.label] for each in card.pictures
        ]
        return {"pictures": pictures, "caption": card.caption, "marked": card.marked}


def _ordered(listing: SampleList, count: int) -> Sequence[int]:
    """Rows in the first order, as the page's script sorts them: those without a value last."""
    name, falling = next(iter(listing.orders.items()))
    values = listing.columns[name]
    return sorted(range(count), key=lambda row: (values[row] is None, (values[row] or 0) * (-1 if falling else 1)))


def _content(listing: SampleList, pictures: _Pictures | None) -> dict[str, Any]:
    return {
        "columns": listing.columns,
        "filters": listing.filters,
        "orders": listing.orders,
        "caption": listing.caption,
        "images": list(pictures.sources) if pictures else [],
        "cards": pictures.of if pictures else {},
    }
