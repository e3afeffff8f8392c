"""The card of an inference pack: what it holds, whose it is, how it is used."""

from __future__ import annotations

from harness.spec.pack import Pack
from harness.tracks.pages import render


def pack_card(pack: Pack) -> str:
    """Markdown with the front matter of a Hub's data set card."""
    return render(
        "harness.tracks.confidence",
        "pack.md",
        pack=pack,
        packages=[f"{name} {version}" for name, version in pack.made_with.items()],
        sizes=[(model, len(sets), sum(sets.values())) for model, sets in pack.samples.items()],
    )
