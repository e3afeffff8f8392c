"""Named, ordered selections of samples, as rules in plain data.

A rule is evaluated once, when a data set is locked; what it gave is then pinned by a hash (`Lock.parts`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.base import Grown, SafePath, Slug, Spec

Values = Annotated[tuple[str | int, ...], Field(min_length=1)]


class Keep(Grown):
    """Samples whose column has one of these values. The column `label` is the label.

    group: a column whose groups, such as patients, stay as a whole where any of their samples has one of the values.
    """

    later: ClassVar[frozenset[str]] = frozenset({"group"})

    do: Literal["keep"]
    column: str
    values: Values
    group: str | None = None


class Drop(Grown):
    """All samples, or groups, but those that `Keep` would keep."""

    later: ClassVar[frozenset[str]] = frozenset({"group"})

    do: Literal["drop"]
    column: str
    values: Values
    group: str | None = None


class Rows(Spec):
    """The samples from position `start` up to, not including, `stop`; a part with fewer is an error."""

    do: Literal["rows"]
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Rows:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"rows from {self.start} to {self.stop} are none")
        return self


class Every(Spec):
    """Of every `of` samples in a row, those at positions `start` up to, not including, `stop`; positions are counted
    anew for every combination of values of the columns `within`.

    FD-Shifts thins corrupted images this way (1000 images a cell: the first tenth of each block of n / classes), and
    PyTorch Geometric splits CoMA.
    """

    do: Literal["every"]
    of: int = Field(ge=1)
    start: int = Field(default=0, ge=0)
    stop: int = Field(ge=1)
    within: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _inside(self) -> Every:
        if not self.start < self.stop <= self.of:
            raise ValueError(f"positions {self.start} to {self.stop} are not inside blocks of {self.of}")
        return self


class Shuffle(Spec):
    """Another order: that of `numpy.random.default_rng(seed)`, or of a PyTorch DataLoader with a generator of this
    seed."""

    do: Literal["shuffle"]
    seed: int = Field(ge=0)
    like: Literal["numpy", "dataloader"] = "numpy"


class Drawn(Spec):
    """A draw that the random numbers of another one come after: of all groups of a part, by a column."""

    part: Slug
    group: str


class HoldOut(Grown):
    """A random share (rounded down, at least one), or `count`, is held out; keep it, or the rest. The order stays.

    group: a column whose values, such as patients, are held out as a whole; they are drawn from the sorted values.
    draw: how `numpy.random.default_rng(seed)` draws them, as the first of a `permutation` or by `choice` without
    replacement; or `legacy`: by `numpy.random.RandomState(seed).choice` without replacement, from the values in the order
    in which they first appear, as scripts with `numpy.random.seed` and pandas' `unique` do. start: so
    many of the drawn groups are passed over. after: an earlier draw from the same generator, whose numbers are used up.
    """

    later: ClassVar[frozenset[str]] = frozenset({"count", "start", "after"})

    do: Literal["hold-out"]
    share: float | None = Field(default=None, gt=0, lt=1)
    count: int | None = Field(default=None, ge=1)
    seed: int = Field(ge=0)
    keep: Literal["held-out", "rest"]
    group: str | None = None
    draw: Literal["permutation", "choice", "legacy"] = "permutation"
    start: int = Field(default=0, ge=0)
    after: Drawn | None = None

    @model_validator(mode="after")
    def _said_once(self) -> HoldOut:
        if (self.share is None) == (self.count is None):
            raise ValueError("give a `share` or a `count`")
        if self.draw != "legacy" and (self.start or self.after):
            raise ValueError("`start` and `after` belong to the draw `legacy`")
        return self


class FirstPerClass(Spec):
    """The first `count` samples of each class; within every combination of values of the columns `within`."""

    do: Literal["first-per-class"]
    count: int = Field(ge=1)
    within: tuple[str, ...] = ()


class LongTail(Spec):
    """Class c keeps int(largest * imbalance ** (-c / (classes - 1))) samples, drawn with `seed`; the order stays.

    A class with fewer samples keeps them all (CIFAR-10-LT as in realistic-al: largest 4500, imbalance 50).
    """

    do: Literal["long-tail"]
    largest: int = Field(ge=1)
    imbalance: float = Field(ge=1)
    seed: int = Field(ge=0)


class Listed(Spec):
    """The samples that a file lists, in its order: lines of text, or JSON (a list of names).

    The file lies in the data set's folder, or beside its manifest. strip, prefix, suffix: what is taken from the
    beginning of a name, and put before and behind it, to make it an id.
    """

    do: Literal["list"]
    file: SafePath
    strip: str = ""
    prefix: str = ""
    suffix: str = ""


class Relabel(Grown):
    """Labels are taken from a column of whole numbers, such as the coarse classes of CIFAR-100; or, by `appearance`, its
    values are numbered in the order in which they first appear."""

    later: ClassVar[frozenset[str]] = frozenset({"by"})

    do: Literal["relabel"]
    column: str
    by: Literal["value", "appearance"] = "value"


Step = Annotated[
    Keep | Drop | Rows | Every | Shuffle | HoldOut | FirstPerClass | LongTail | Listed | Relabel,
    Field(discriminator="do"),
]


class Part(Spec):
    """A named, ordered selection of samples: all of a split, or of other parts one after the other, then step by step.

    Without `split` and `of` it begins with all samples.
    """

    split: str | None = None
    of: tuple[Slug, ...] = ()
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _one_beginning(self) -> Part:
        if self.split is not None and self.of:
            raise ValueError("a part begins with a `split` or with parts (`of`), not with both")
        return self
