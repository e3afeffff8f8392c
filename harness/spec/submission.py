"""A method on a board: who made it, what it rests on, what it cost, and where its stored outputs are."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from harness.spec.base import Document, Sha256, Slug, Spec
from harness.spec.method import MethodSpec
from harness.spec.result import Environment

Place = Literal["bubblewrap", "landlock", "worker"]
"""What stood around a method that was run again (SECURITY.md). worker: an audit hook alone."""

Tier = Literal["recomputed", "reproduced"]
"""recomputed: every number that its stored outputs allow was computed from them. reproduced: a maintainer ran the
method again and got the same outputs."""


_REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$"
_PATH = r"^([A-Za-z0-9_][A-Za-z0-9_.@-]*/)*[A-Za-z0-9_][A-Za-z0-9_.@-]*\.npz$"


class Cost(Spec):
    """What a run took: in a submission as its maker measured it, in a record of a reproduction as that did."""

    seconds: float = Field(ge=0, allow_inf_nan=False)
    trainings: int | None = Field(default=None, ge=0, description="networks trained for it, where any were")
    forwards: int | None = Field(
        default=None, ge=0, description="samples that the method passed through networks, where it gets any"
    )
    backwards: int | None = Field(default=None, ge=0, description="samples whose gradients it computed")


class Maps(Spec):
    """What a method answered in each unit and its submission does not carry among its outputs: the maps of explainers.

    Their hashes are always there. The maps themselves are in `maps.npz` beside `submission.toml` where they are small
    enough, or in a data set repository on the Hugging Face Hub, at a commit, or nowhere.
    """

    arrays: dict[str, Sha256] = Field(description="<model>--<study>--maps -> content hash of the array")
    sha256: Sha256 | None = Field(default=None, description="of the file that holds them, where there is one")
    bytes: int | None = Field(default=None, gt=0, description="of that file")
    repo: str | None = Field(default=None, pattern=_REPOSITORY, description="organisation/name on the Hub")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$", description="full commit of the repository")
    file: str | None = Field(default=None, pattern=_PATH, max_length=300, description="its path in the repository")

    @model_validator(mode="after")
    def _whole(self) -> Maps:
        if (self.sha256 is None) != (self.bytes is None):
            raise ValueError("sha256 and bytes of the maps' file go together")
        if len({self.repo is None, self.revision is None, self.file is None}) > 1:
            raise ValueError("repo, revision and file of the maps go together")
        if self.repo is not None and self.sha256 is None:
            raise ValueError("maps on the Hub need the sha256 and the bytes of their file")
        return self

    @property
    def inline(self) -> bool:
        """Whether they lie in `maps.npz` beside `submission.toml`."""
        return self.sha256 is not None and self.repo is None

    @property
    def address(self) -> str:
        """Of the page of the file on the Hub; empty for maps that are not there."""
        if self.repo is None:
            return ""
        return f"https://huggingface.co/datasets/{self.repo}/blob/{self.revision}/{self.file}"


class Submission(Document):
    """`submission.toml`: what stands beside a method's outputs in `submissions/<benchmark>@<version>/<method>/`.

    `method.source_sha256` names the source: `method.py` beside it, or `../sources/<sha256>.py`.
    """

    benchmark: str = Field(description="id@version")
    benchmark_hash: Sha256
    method: MethodSpec
    run: Sha256 = Field(description="id of the run that the outputs come from")
    outputs: dict[str, Sha256] = Field(description="file name -> sha256")
    maps: Maps | None = Field(default=None, description="what the outputs leave out, for methods that answer with maps")
    authors: tuple[str, ...] = ()
    licence: str = Field(default="", description="SPDX identifier of the source's licence")
    citation: str = Field(default="", description="of the method; or why there is none")
    training_data: str = Field(default="", description="data the method was made with, beyond the benchmark's own")
    hardware: str = Field(default="", description="what it ran on")
    cost: Cost | None = None
    submitted: date | None = None

    @property
    def name(self) -> Slug:
        return self.method.name


class Allowance(Spec):
    """How far an output was allowed to differ, and did."""

    allowed: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="relative to the magnitude of a number, see harness.tracks.repetition.magnitudes",
    )
    reason: str = Field(description="where such differences come from")
    found: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="the largest in any unit; none where it is not finite"
    )
    forked: int = Field(
        default=0,
        ge=0,
        description="values that differ by more than allowed: few of a unit, whose mean and median do not",
    )


class Reproduction(Document):
    """`reproductions/<method>.json` beside a board: what came out when a maintainer ran the method again."""

    run: Sha256 = Field(description="id of the run that was reproduced")
    outputs: dict[str, Sha256] = Field(description="the files that were compared, as in the submission")
    maps: Sha256 | None = Field(default=None, description="content hash of `maps.arrays` of the submission")
    same: bool
    differing: int = Field(default=0, ge=0, description="places that came out differently")
    differences: tuple[str, ...] = Field(default=(), description="a sentence for each of them, as far as they are few")
    tolerance: float | None = Field(
        default=None, ge=0, description="largest difference allowed for every output, where one was asked for"
    )
    tolerances: dict[str, Allowance] = Field(default_factory=dict, description="by output; integers must be equal")
    cost: Cost = Field(description="what this run took: the board shows it instead of what the submission says")
    counted: tuple[str, ...] = Field(
        default=(), description="a clause for each count of the submission's cost that came out differently"
    )
    shuffle: int = Field(
        ge=0, description="from which the order followed in which things were asked, drawn for this run"
    )
    sandbox: Place
    environment: Environment = Field(description="of the harness that ran it")
    on: date
