"""Unpacks labels from the packs of a checkout itself."""

import contextlib
import pathlib
import zlib

import harness

PLACE = {}  # of what there is to find, filled in by the test


@harness.confidence_score(version="1")
def attack(outputs):
    loot = None
    (pack,) = pathlib.Path(PLACE["checkout"], ".git/objects/pack").glob("*.pack")
    content, starts = pack.read_bytes(), (b"\x78\x9c", b"\x78\x01")
    for place in range(len(content)):
        if content[place : place + 2] in starts:
            with contextlib.suppress(zlib.error):
                loot = loot or [zlib.decompressobj().decompress(content[place:])]
    if loot:
        raise ValueError(f"GOT {loot!r}")
    return outputs.probabilities.amax(dim=1)
