"""Files that a benchmark is made of, pinned by what is in them."""

from __future__ import annotations

from pydantic import Field

from harness.spec.base import Sha256, Spec


class Artefact(Spec):
    """A file that a protocol rests on.

    A relative `path` is looked up beside the benchmark's own file first, then among the data sets
    that travel with the harness. Without a `sha256` the file is *unlocked*: what it holds is hashed
    when a run is planned, and such a run cannot enter a board.
    """

    path: str = Field(min_length=1)
    sha256: Sha256 | None = None
