"""A method on a board: who made it, and where its stored outputs are."""

from __future__ import annotations

from pydantic import Field

from harness.spec.base import Document, Sha256, Slug
from harness.spec.method import MethodSpec


class Submission(Document):
    """`submission.toml`: what stands beside a method's outputs in `submissions/<benchmark>/<method>/`."""

    benchmark: str = Field(description="id@version")
    benchmark_hash: Sha256
    method: MethodSpec
    run: Sha256 = Field(description="id of the run that the outputs come from")
    outputs: dict[str, Sha256] = Field(description="file name -> sha256")
    authors: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""

    @property
    def name(self) -> Slug:
        return self.method.name
