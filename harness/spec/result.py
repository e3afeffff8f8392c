"""What a run leaves behind. Missing is a status, never a number."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.base import Document, Grown, Sha256, Slug, Spec
from harness.spec.run import RunSpec

UnitStatus = Literal["ok", "invalid", "failed", "timeout", "out-of-memory", "lost", "not-applicable"]
"""ok: scored. invalid: answered, but not with usable scores. failed: crashed. timeout, out-of-memory:
hit a limit. lost: the machines that worked on it vanished, each time it was tried. not-applicable: the method needs what this model does not offer; not a failure."""


class Record(Spec):
    """One metric of one unit. `value` is missing exactly when `status` is not ok."""

    metric: str
    value: float | None = Field(allow_inf_nan=False)
    n: int = Field(ge=0)
    status: Literal["ok", "undefined"] = "ok"

    @model_validator(mode="after")
    def _missing_is_a_status(self) -> Record:
        if (self.value is None) == (self.status == "ok"):
            raise ValueError(f"metric {self.metric}: a value and status ok go together")
        return self


class UnitResult(Spec):
    """How a unit ended."""

    unit: Sha256
    model: Slug
    seed: int
    study: Slug
    status: UnitStatus
    reason: str = Field(default="", description="one sentence, for every status but ok")
    outputs: Sha256 | None = Field(default=None, description="content hash of the method's stored answers")
    records: tuple[Record, ...] = ()


class Summary(Spec):
    """One metric of one study over all seeds, with its 95 % interval."""

    study: str
    metric: str
    value: float | None = Field(allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    n: int
    seeds: int
    part_of: str | None = Field(default=None, description="the group of studies that this one is averaged into")
    status: Literal["ok", "undefined", "incomplete"] = "ok"


class Environment(Grown):
    """Where a number was computed. Nothing here changes from moment to moment."""

    later: ClassVar[frozenset[str]] = frozenset({"fence", "readable"})

    harness: str
    source_sha256: Sha256 = Field(description="of the harness's own Python files")
    python: str
    platform: str
    packages: dict[str, str]
    git_commit: str | None
    git_dirty: bool | None
    device: str
    threads: int
    seeds: dict[str, int]
    fence: str | None = Field(
        default=None,
        description="what stood around the method: landlock and the kernel's version of it, bubblewrap, or audit hook "
        "(none that holds native code); the weakest of several sessions; none recorded before there was a choice",
    )
    readable: tuple[str, ...] = Field(
        default=(), description="files and folders that the method was allowed to read beside its own folder"
    )


class Passes(Spec):
    """Samples that a method passed through the networks it was given; calls that only check its answers do not count. A
    sample that goes through twice counts twice."""

    forward: int = Field(ge=0)
    backward: int = Field(ge=0, description="of these, how often gradients came back")


class Timing(Spec):
    """The only part of a sealed run that differs between two runs of the same specification."""

    started: str
    seconds: float = Field(
        description="of processors on a CPU under Linux, of the clock elsewhere; of all units, one after the other"
    )
    resumed: int = Field(default=0, description="how often the run was taken up again")
    unit_seconds: dict[str, float] = Field(default_factory=dict)
    passes: Passes | None = Field(
        default=None, description="of all scored units; none where methods get no network, or it was not counted"
    )
    unit_passes: dict[str, Passes] = Field(default_factory=dict)


class RunDocument(Document):
    """A sealed run: `run.json`."""

    id: Sha256
    spec: RunSpec
    environment: Environment
    units: tuple[UnitResult, ...]
    summary: tuple[Summary, ...]
    timing: Timing
    seal: Sha256 | None = Field(default=None, description="content hash of all the rest but the timing")

    @property
    def sealed_content(self) -> dict[str, Any]:
        """What the seal is computed over."""
        return self.model_dump(mode="json", exclude={"timing", "seal"})

    @property
    def complete(self) -> bool:
        """Every unit is scored, or does not apply to the method."""
        return all(unit.status in ("ok", "not-applicable") for unit in self.units)
