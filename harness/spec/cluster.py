"""Where units run when they do not run on this machine alone: what `--cluster` names."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.spec.base import Spec

_ADDRESS = re.compile(r"(tcp|tls|ucx)://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}")


class ClusterSpec(Spec):
    """A cluster, as a file `--cluster FILE.toml` describes it.

    kind: `local` processes, jobs of `slurm` or `lsf` that are submitted and kept up, or a `scheduler` that runs already
    at an address such as tcp://head:8786. options: handed as they are to dask_jobqueue's SLURMCluster or LSFCluster, such
    as queue, walltime, memory.
    """

    kind: Literal["local", "slurm", "lsf", "scheduler"]
    address: str | None = None
    workers: int | None = Field(default=None, ge=1, strict=True)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _addresses_are_of_schedulers(self) -> ClusterSpec:
        if (self.kind == "scheduler") != (self.address is not None):
            raise ValueError('kind = "scheduler" and an address go together')
        if self.address is not None and not _ADDRESS.fullmatch(self.address):
            raise ValueError(f"{self.address} is no address of a scheduler; one is tcp://head:8786, with its port")
        if self.options and self.kind not in ("slurm", "lsf"):
            raise ValueError(f'options are for kind = "slurm" or "lsf", not {self.kind!r}')
        return self
