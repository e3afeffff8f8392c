"""What is known of a submitted method before any of its code has run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.base import Sha256, Slug, Spec

Task = Literal["confidence"]
Origin = Literal["file", "plug-in", "baseline"]
Need = Literal["inputs", "model"]
Classifier = Literal["point", "mc-mean"]


class MethodSpec(Spec):
    """A method as its source declares it.

    `needs` names what it wants beyond the outputs of a model; `head` restricts it to models that
    carry a trained confidence head of that name; `classifier` says whose predictions its confidence
    speaks about: the network's own, or the mean over the Monte-Carlo-dropout members. An `oracle`
    reads the outcomes themselves: it is a bound, never a competitor.
    """

    task: Task
    name: Slug
    version: str = Field(min_length=1, max_length=40)
    origin: Origin
    target: str = Field(description="what the user typed, without folders: margin.py:margin, pkg/name, msr")
    symbol: str = Field(description="name of the decorated function or class in its source")
    source_sha256: Sha256
    needs: tuple[Need, ...] = ()
    head: Slug | None = None
    classifier: Classifier = "point"
    oracle: bool = False
    reference: bool = Field(default=False, description="a bound or sanity row, not a competitor")
    citation: str = ""
    summary: str = ""
