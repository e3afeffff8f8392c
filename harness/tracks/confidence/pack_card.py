"""The card of an inference pack: what it holds, whose it is, how it is used."""

from __future__ import annotations

from pathlib import Path

from harness.spec.pack import Pack
from harness.storage import fill_template


def pack_card(pack: Pack) -> str:
    """Markdown with the front matter of a Hub's data set card."""
    return fill_template(Path(__file__).with_name("templates") / "pack.md", pack=pack)
