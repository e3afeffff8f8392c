"""A run as users hold it: the sealed document, its folder, and a long table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.execution.runner import SEALED, stored_outputs
from harness.spec.errors import UsageError
from harness.spec.result import RunDocument, UnitResult
from harness.storage import IntegrityError, content_id, read_json

if TYPE_CHECKING:
    import pandas as pd

    from harness.tracks.base import Outputs

COLUMNS = (
    "benchmark",
    "version",
    "task",
    "study",
    "model",
    "seed",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "status",
)
OVER_SEEDS = "all"


@dataclass(frozen=True)
class RunResult:
    """A sealed run. `document` is what stands in `run.json`."""

    document: RunDocument
    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> RunResult:
        """Read a sealed run. Raises UsageError if there is none, IntegrityError if it is damaged."""
        path = Path(folder)
        path = path.parent if path.name == SEALED else path
        if not (path / SEALED).is_file():
            raise UsageError(
                f"{path} holds no sealed run ({SEALED} is missing); name the folder that evaluate printed."
            )
        try:
            document = RunDocument.model_validate(read_json(path / SEALED))
        except ValidationError as error:
            raise IntegrityError(f"{path / SEALED} is not a sealed run: {error.errors()[0]['msg']}") from error
        if document.seal != content_id(document.sealed_content):
            raise IntegrityError(f"{path / SEALED} was changed after it was sealed; run the evaluation again.")
        return cls(document, path)

    @property
    def complete(self) -> bool:
        """Every unit is scored, or does not apply to the method."""
        return self.document.complete

    @property
    def failed(self) -> tuple[UnitResult, ...]:
        """Units that ended badly."""
        return tuple(unit for unit in self.document.units if unit.status not in ("ok", "not-applicable"))

    def outputs(self) -> Mapping[str, Outputs]:
        """The method's stored answers by unit id. Raises IntegrityError if they are not those scored."""
        return {unit.unit: stored_outputs(self.folder, unit) for unit in self.document.units if unit.status == "ok"}

    def to_frame(self) -> pd.DataFrame:
        """One row per study, model and metric, and one per study and metric over all seeds.

        Columns: benchmark, version, task, study, model, seed, metric, value, low, high, n, status. Rows
        over all seeds have model "all", no seed, and the 95 % interval in low and high; a unit that has
        no scores is one row without a metric. Values are missing where status is not "ok".
        """
        import pandas as pd

        spec = self.document.spec
        identifier, _, version = spec.benchmark.partition("@")
        head = {"benchmark": identifier, "version": int(version), "task": spec.task}
        rows: list[dict[str, object]] = []
        for unit in self.document.units:
            where = {**head, "study": unit.study, "model": unit.model, "seed": unit.seed}
            rows += [{**where, **record.model_dump()} for record in unit.records]
            if not unit.records:
                rows.append({**where, "metric": None, "n": 0, "status": unit.status})
        for row in self.document.summary:
            rows.append({**head, "model": OVER_SEEDS, "seed": None, **row.model_dump(exclude={"seeds", "part_of"})})
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"seed": "Int64", "value": "float64", "low": "float64", "high": "float64", "n": "int64"})

    def save(self, path: str | Path) -> Path:
        """Copy the run's folder to `path`, which must not exist yet."""
        target = Path(path)
        if target.exists():
            raise UsageError(f"{target} exists; choose a path that does not.")
        shutil.copytree(self.folder, target)
        return target
